"""Which writer a policy names, or the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogenesis_langchain import models
from cogenesis_langchain.settings import LocalModelConfig
from cogenesis_langchain.writer.local import LlamaCppWriter
from cogenesis_langchain.writer.protocol import Writer
from cogenesis_langchain.writer.remote import RemoteWriter

if TYPE_CHECKING:
    from cogenesis_langchain.writer.states import KeptStates


def configured(local: LocalModelConfig, states: KeptStates | None = None) -> Writer:
    """The writer of `models.local`; what one in this process has read of the users' profiles is in `states`.

    Raises ModelMissingError, ModelCorruptError.
    """
    if local.provider == "openai_compatible":
        key = local.api_key.get_secret_value() if local.api_key else None
        return RemoteWriter(str(local.base_url), local.model, api_key=key)
    options: dict[str, Any] = {"n_ctx": local.n_ctx, "n_threads": local.n_threads, "states": states}
    if local.path is None:
        return of_catalogue(local.model, chat_template=local.chat_template, **options)
    path = Path(local.path).expanduser()
    models.check_gguf(path, local.sha256)
    chosen = models.template(local.chat_template or "chatml")
    return LlamaCppWriter(path, chosen, sha256=local.sha256, **options)


def of_catalogue(name: str, *, chat_template: str | None = None, **options: Any) -> LlamaCppWriter:
    """A model of `cogenesis models list`; `options` are the writer's.

    Raises ModelMissingError, which names the command that pulls it.
    """
    entry = models.entry(name)
    chosen = models.template(chat_template or entry.chat_template or "chatml")
    return LlamaCppWriter(models.locate(name), chosen, sha256=entry.files[0].sha256, **options)
