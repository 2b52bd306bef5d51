"""Vetted chat templates as plain data: the template inside a GGUF is never read.

Everything a template adds is control text (to be tokenised with `special=True`); everything a person, the
store or a cloud wrote is content (`special=False`), so content that imitates `<|im_start|>` stays text.
Sources: the tokenizer configurations that the makers of the models publish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cogenesis_langchain.errors import ConfigError

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """Control text around the turns of a conversation. All strings here are control text.

    `bos` opens the whole prompt. Each role has (prefix, suffix). `user_after_system` replaces the user's
    prefix where the template has no system role and the system text opens the user's own turn.
    `stop` are the texts of the tokens that end an answer.
    """

    name: str
    bos: str
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    stop: tuple[str, ...]
    user_after_system: str | None = None

    def opening(self, role: Role, previous: Role | None = None) -> str:
        """Control text before a turn of `role` that follows a turn of `previous`."""
        if role == "user" and previous == "system" and self.user_after_system is not None:
            return self.user_after_system
        return self._pair(role)[0]

    def closing(self, role: Role) -> str:
        """Control text after a turn of `role`."""
        return self._pair(role)[1]

    def _pair(self, role: Role) -> tuple[str, str]:
        return {"system": self.system, "user": self.user, "assistant": self.assistant}[role]


TEMPLATES: dict[str, ChatTemplate] = {
    made.name: made
    for made in (
        ChatTemplate(
            name="chatml",
            bos="",
            system=("<|im_start|>system\n", "<|im_end|>\n"),
            user=("<|im_start|>user\n", "<|im_end|>\n"),
            assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
            stop=("<|im_end|>", "<|endoftext|>"),
        ),
        ChatTemplate(
            name="llama3",
            bos="<|begin_of_text|>",
            system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
            user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
            assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
            stop=("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
        ),
        ChatTemplate(
            name="gemma",
            bos="<bos>",
            system=("<start_of_turn>user\n", "\n\n"),
            user=("<start_of_turn>user\n", "<end_of_turn>\n"),
            assistant=("<start_of_turn>model\n", "<end_of_turn>\n"),
            stop=("<end_of_turn>", "<eos>"),
            user_after_system="",
        ),
        ChatTemplate(
            name="mistral",
            bos="<s>",
            system=("[INST] ", "\n\n"),
            user=("[INST] ", "[/INST]"),
            assistant=("", "</s>"),
            stop=("</s>",),
            user_after_system="",
        ),
    )
}


def template(name: str) -> ChatTemplate:
    """The vetted template of that name; ConfigError where there is none."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise ConfigError(
            f"chat template {name!r} is unknown; use one of: {', '.join(sorted(TEMPLATES))}"
        ) from None
