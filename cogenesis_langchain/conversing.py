"""Form `live` of fuse: one body after the other, each made of the task and of the shadow of the text.

Each passes the gate and is charged by itself: the first what its level and the end of the text tell, the
others what was released since (see `ledger`). A hit or any error ends the cloud's part for good; the local
model goes on alone, and the answer says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from cogenesis_langchain.errors import (
    CloudError,
    CoGenesisError,
    GateError,
    GateHit,
    LedgerError,
)
from cogenesis_langchain.fuse.veil import veiled
from cogenesis_langchain.fusing import continuation, live_sentence, stepping
from cogenesis_langchain.gate.permit import Permit
from cogenesis_langchain.known.holding import Holding
from cogenesis_langchain.request import Request, Update, clock, stopped, why
from cogenesis_langchain.sketch import draft_messages
from cogenesis_langchain.types import (
    CloudMessage,
    Draft,
    Finish,
    KnownValue,
    Outbound,
    Pieces,
    PrivateSpan,
    TokenTrace,
)
from cogenesis_langchain.writer.parts import Prompt, Role, Turn

if TYPE_CHECKING:
    from cogenesis_langchain.detect.detector import Detector, Once
    from cogenesis_langchain.fuse.live import Live

ENDED = "{}; the local model wrote the rest alone"
PATIENCE = 10
"""Times models.cloud.timeout_s that the answers to one text may take together: others wait for the model."""
_LOOK_BACK = 80  # bytes of the end that are read
_LAST_WORD = re.compile(r"\S+\s*\Z")
_SIGNS = re.compile(r"[\d@#/\\_]|\w\.\w")
_BEGINS = re.compile(r"(?:\A|[.!?:\n\"“”(*>-])\s*\Z")  # where a sentence does


@dataclass
class Conversation:
    """What one text in form live sends, byte for byte, and why it stopped sending.

    `first` is what was prepared and decided on, `permit` the leave to send it, which holds for the later
    bodies with their own bytes and bits. `sent` and `halted` are entries of the state's `outbound` and
    `stopped`; `answers` counts what came back. `charged` are bits by SHA-256: the ledger counts the most that
    the same bytes were charged, and a veil may make them of a longer shadow.
    """

    request: Request
    first: Outbound
    permit: Permit
    timings: dict[str, float]
    sent: list[dict[str, Any]] = field(default_factory=list)
    halted: list[dict[str, Any]] = field(default_factory=list)
    charged: dict[str, float] = field(default_factory=dict)
    answers: int = 0
    problem: CoGenesisError | None = None

    def written(self, trace: list[TokenTrace]) -> Pieces:
        """The text as it is written. Raises WriterError, and GateHit where `on_hit` is block."""
        from cogenesis_langchain.fuse.live import fuse_live
        from cogenesis_langchain.fuse.sampling import Sampler

        request, engine = self.request, self.request.engine
        cancel = request.context.cancel
        temperature = engine.config.models.local.temperature
        messages = draft_messages(live_sentence(request, request.step()))
        shadow = None if self.permit.trusted else as_prompt(messages)
        prompt, writer = request.prompt(None), stepping(request)
        with writer.steps(prompt, scope=request.user, shadow=shadow, cancel=cancel) as steps:
            pieces = fuse_live(
                steps,
                partial(self.ask, messages),
                engine.combiner(steps.vocabulary),
                self._limits(),
                Sampler(temperature),
                self._private(),
                public_taste=Sampler(temperature),
                max_tokens=engine.config.models.local.max_tokens,
                cancel=cancel,
                trace=trace,
            )
            return (yield from self._unblocked(pieces))

    def _unblocked(self, pieces: Pieces) -> Pieces:
        """`pieces`, until the gate stops what the policy then blocks. Raises GateHit."""
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                self._block()
                finish: Finish | None = end.value
                return finish
            self._block()
            yield piece

    def ask(self, messages: list[CloudMessage], shadow: str, nats: float) -> Draft:
        """Sends the shadow so far; `nats` is what it tells beyond the one before (`fuse.live.Ask`)."""
        try:
            with clock(self.timings, "cloud_ms"):
                return self._ask(messages, shadow, nats)
        except CoGenesisError as error:
            self.problem = error
        except OSError as error:
            self.problem = CloudError(why(error))
        except Exception as error:  # its words may quote the text
            self.problem = CloudError(f"form live failed ({type(error).__name__})")
        raise self.problem

    def _ask(self, messages: list[CloudMessage], shadow: str, nats: float) -> Draft:
        from cogenesis_langchain.fusion.shadow import bits

        request, permit, cloud = self.request, self.permit, self.request.engine.config.models.cloud
        if cloud is not None and self.timings.get("cloud_ms", 0.0) > PATIENCE * cloud.timeout_s * 1000:
            raise CloudError("the cloud takes too long over one text (models.cloud.timeout_s)")
        if self.sent:
            outbound = continuation(request, messages, self._veiled(shadow))
            told = None if permit.bits is None else bits(nats) + self.charged.get(outbound.sha256, 0.0)
            if told is not None:
                self.charged[outbound.sha256] = told
            permit = replace(
                permit,
                body_sha256=outbound.sha256,
                endpoint=outbound.endpoint,
                bits=told,
                detector=self._detector,
            )
            entry = request.entry(outbound)
        else:
            outbound, entry = self.first, request.state["outbound"][-1]
        try:
            draft = request.engine.cloud.drafts(outbound, permit)[0]
        except LedgerError:
            raise  # before anything left
        except GateError as error:
            self.halted.append(entry | stopped(error))
            raise
        except BaseException:
            self.sent.append(entry)
            raise
        self.sent.append(entry)
        self.answers += 1
        return draft

    @cached_property
    def _detector(self) -> Detector | Once:
        """One detector for the veil and the gate: what the veil left as it was is not read again.

        Its memory is not the run's, which knows more than the shadow: time would show it.
        """
        return self.request.engine.detector_of_a_run({})

    def _veiled(self, shadow: str) -> str:
        """The shadow with general words for what the detector finds in it. Raises DetectorError."""
        if self.permit.trusted:
            return shadow
        least = self.request.engine.cloud.rules.min_score
        found = self._detector.detect(shadow)
        return veiled(shadow, [span for span in found if span.score >= least])

    def bodies(self) -> Update:
        """The state's `outbound` and `stopped` with what was sent, and with what the gate stopped."""
        state = self.request.state
        return {
            "outbound": [*state["outbound"][:-1], *self.sent],
            "stopped": [*state["stopped"], *self.halted],
        }

    def ended(self) -> Update:
        """Why the cloud's part ended early, if it did; where it never helped the text is a local one."""
        if self.problem is None:
            return {}
        state, reason = self.request.state, ENDED.format(why(self.problem))
        if not self.answers:
            return self.request.stay(reason)
        if isinstance(self.problem, GateHit):  # nor is the thread's next text sent
            self.request.stay(reason)
        return {"reasons": [*state["reasons"], reason], "warnings": [*state["warnings"], reason]}

    def _block(self) -> None:
        if isinstance(self.problem, GateHit) and self.request.engine.cloud.rules.on_hit == "block":
            raise self.problem

    def _limits(self) -> Live:
        from cogenesis_langchain.fuse.live import Live

        live = self.request.engine.config.fuse.live
        return Live(
            live.nats_per_token,
            live.max_nats,
            live.block,
            live.max_requests,
            self.permit.trusted,
            live.tokens_per_request,
        )

    def _private(self) -> Callable[[bytes], bool]:
        """Whether a text so far may end inside something that must not show."""
        request = self.request
        spans = [PrivateSpan(**span) for span in request.state["spans"]]
        return withheld(request.known().values, request.texts(), spans)


def withheld(
    known: Iterable[KnownValue], texts: Sequence[str], spans: Iterable[PrivateSpan]
) -> Callable[[bytes], bool]:
    """What must not show in a shadow (`fuse.live.Private`): known values, `spans` of the request's `texts`,
    and whatever is `telling`."""
    found = [KnownValue(texts[one.message][one.start : one.end], one.type, "entity") for one in spans]
    inside = Holding([*known, *found])
    return lambda text: inside(text) or telling(text)


def telling(text: bytes) -> bool:
    """Whether the last word looks like a name, a number or an address, whoever it is about.

    A capital in the middle of a sentence, a digit, a sign: what a detector would find, without a model.
    """
    end = text[-_LOOK_BACK:].decode("utf-8", "ignore")
    last = _LAST_WORD.search(end)
    if last is None:
        return False
    if _SIGNS.search(last[0]):
        return True
    capital = last[0].lstrip("\"'“‘(")[:1].isupper() and last[0] != "I"
    return capital and not _BEGINS.search(end[: last.start()])


def as_prompt(messages: Sequence[CloudMessage]) -> Prompt:
    """What the cloud is asked, for the local model without the person's context."""
    roles: dict[str, Role] = {"system": "system", "user": "user"}
    return tuple(Turn(roles[one.role], tuple(part.text for part in one.parts)) for one in messages)
