"""What a cloud can do for fusion: asked once with constant bytes, through the gate, and kept on disk.

What is covered: how many candidates with log-probabilities it gives, whether several samples come of one
request, and in which dialect it goes on with a text. What it refuses (status 400 and the like) it cannot;
where it is down, slow or refuses the key, nothing is concluded. What cannot be done is asked again by the
next process. The bytes are pinned (`probe.v1.txt`), tell nothing about anybody and have receipts like all
others, in nobody's account.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.errors import CloudError
from cogenesis_langchain.files import make_folder, write_whole
from cogenesis_langchain.gate.permit import Permit
from cogenesis_langchain.logprobs import LISTED
from cogenesis_langchain.prompt_files import sections
from cogenesis_langchain.types import (
    Capabilities,
    CloudMessage,
    Dialect,
    Draft,
    Outbound,
    PrivateSpan,
    Route,
    Sendable,
)

PROMPT = "probe.v1.txt"
LISTS = (200, LISTED, 5)
"""How many candidates are asked for, until an endpoint gives them."""
_TOKENS = 4
_CANNOT = frozenset({200, 400, 404, 405, 415, 422, 500, 501})  # 200: an answer that is of no use
_NEXT = b","  # how the pinned text goes on; no new answer begins so


def ask(cloud: Cloud, *, live: bool = False) -> Capabilities:
    """What the endpoint of `cloud` can do; without `live` nobody asks how it goes on with a text.

    Two to ten small requests. Raises as `Cloud.drafts` does where nothing can be concluded.
    """
    messages, begun = _pinned()
    for listed in LISTS:
        one = _tried(cloud, Route.FUSE, cloud.prepare(messages, max_tokens=_TOKENS, logprobs=listed))
        if chat := _given(one, listed):
            break
    samples = False
    if chat:
        two = cloud.prepare(messages, max_tokens=_TOKENS, logprobs=chat, samples=2)
        samples = len(_tried(cloud, Route.FUSE, two)) == 2
    if not live:
        return Capabilities(chat, 0, samples)

    def goes_on(dialect: Dialect, listed: int) -> int:
        body = cloud.prepare_continuation(
            messages, begun, max_tokens=_TOKENS, dialect=dialect, logprobs=listed
        )
        drafts = _tried(cloud, Route.LIVE, body)
        return _given(drafts, listed) if drafts and drafts[0].text.startswith(_NEXT) else 0

    return _continued(Capabilities(chat, 0, samples), goes_on)


def _continued(can: Capabilities, goes_on: Callable[[Dialect, int], int]) -> Capabilities:
    """`can` with the first dialect that goes on; plain completions last, which know no chat template."""
    for dialect in ("llama-server", "vllm", "prefix") if can.chat_logprobs else ():
        if goes_on(dialect, can.chat_logprobs):
            return Capabilities(can.chat_logprobs, 0, can.samples, dialect)
    for listed in LISTS:
        if given := goes_on("completions", listed):
            return Capabilities(can.chat_logprobs, given, can.samples, "completions")
    return can


def _pinned() -> tuple[list[CloudMessage], Sendable]:
    """The question, and the beginning of its answer."""
    (_, system), (_, user), (_, begun) = sections(PROMPT)
    asked = [
        CloudMessage("system", (Sendable(system, "frame"),)),
        CloudMessage("user", (Sendable(user, "frame"),)),
    ]
    return asked, Sendable(begun, "frame")


def _tried(cloud: Cloud, route: Route, outbound: Outbound) -> tuple[Draft, ...]:
    """What comes back; empty where the endpoint cannot do this."""
    nothing = _Nothing()
    permit = Permit(outbound.sha256, outbound.endpoint, route, nothing, nothing, bits=0.0, about="probe")
    try:
        return cloud.drafts(outbound, permit)
    except CloudError as error:
        if error.status not in _CANNOT:
            raise
    return ()


def _given(drafts: tuple[Draft, ...], listed: int) -> int:
    """How many candidates to ask for: `listed`, or what an endpoint gives that cuts longer lists."""
    longest = max((len(one.tokens) for draft in drafts for one in draft.positions), default=0)
    return listed if 2 * longest > listed else longest


class _Nothing:
    """There is nothing private in a pinned text: neither value nor name is looked for."""

    def find(self, text: str) -> list[PrivateSpan]:
        del text
        return []

    def detect(self, text: str, *, message: int = 0) -> list[PrivateSpan]:
        del text, message
        return []


class Kept:
    """What endpoints were found to be able to do, in a small file. Holds nothing about any user."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, endpoint: str, model: str, *, live: bool) -> Capabilities | None:
        """What is known of `model` at `endpoint`; None where it was not asked, or could not do it then."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            found = Capabilities(**json.loads(self._path.read_bytes())[f"{endpoint} {model}"])
            if found.continuation in (*get_args(Dialect), None) and found.chat_logprobs >= 1:
                return None if live and found.continuation is None else found
        return None

    def put(self, endpoint: str, model: str, found: Capabilities) -> None:
        """Keep it; a disk that refuses is no reason to fail, the next process asks again."""
        with suppress(OSError):
            kept: dict[str, object] = {}
            with suppress(OSError, ValueError, RecursionError):
                kept = dict(json.loads(self._path.read_bytes()))
            kept[f"{endpoint} {model}"] = asdict(found)
            make_folder(self._path.parent)
            write_whole(self._path, json.dumps(kept, indent=1).encode(), durable=False)
