"""What a cloud can do for fusion: asked once with constant bytes, through the gate, and kept on disk.

What is covered: how many candidates with log-probabilities it gives, whether several samples come of one
request, and in which dialect it goes on with a text. What it refuses (status 400 and the like) it cannot;
where it is down, slow or refuses the key, nothing is concluded. What cannot be done is asked again after an
hour. The bytes are pinned (`probe.v1.txt`) and tell nothing about anybody; they have receipts like all
others, in the account of the user for whose text they are sent.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, get_args

from cogenesis_langchain.cloud import Cloud
from cogenesis_langchain.errors import CloudError
from cogenesis_langchain.files import make_folder, write_whole
from cogenesis_langchain.gate.permit import Permit
from cogenesis_langchain.ledger import PROBE
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
AGAIN_S = 3600.0
"""How long an endpoint that could not do something is not asked again."""
_TICK_S = 0.05
_CONTINUED = ("continuation", "completions_logprobs")
_TOKENS = 4
_CANNOT = frozenset({200, 400, 404, 405, 415, 422, 500, 501})  # 200: an answer that is of no use
_NEXT = b","  # how the pinned text goes on; no new answer begins so


def ask(cloud: Cloud, *, live: bool = False, user: str = "") -> Capabilities:
    """What the endpoint of `cloud` can do; without `live` nobody asks how it goes on with a text.

    Two to ten small requests in the account of `user`. Raises as `Cloud.drafts` does where nothing can be
    concluded.
    """
    tried = partial(_tried, cloud, user)
    messages, begun = _pinned()
    for listed in LISTS:
        one = tried(Route.FUSE, cloud.prepare(messages, max_tokens=_TOKENS, logprobs=listed))
        if chat := _given(one, listed):
            break
    samples = False
    if chat:
        two = cloud.prepare(messages, max_tokens=_TOKENS, logprobs=chat, samples=2)
        samples = len(tried(Route.FUSE, two)) == 2
    if not live:
        return Capabilities(chat, 0, samples)

    def goes_on(dialect: Dialect, listed: int) -> int:
        body = cloud.prepare_continuation(
            messages, begun, max_tokens=_TOKENS, dialect=dialect, logprobs=listed
        )
        drafts = tried(Route.LIVE, body)
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


def _tried(cloud: Cloud, user: str, route: Route, outbound: Outbound) -> tuple[Draft, ...]:
    """What comes back; empty where the endpoint cannot do this."""
    nothing = _Nothing()
    permit = Permit(
        outbound.sha256, outbound.endpoint, route, nothing, nothing, bits=0.0, about=PROBE, user=user
    )
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
    """What endpoints were found to be able to do, in a small file. Holds nothing about any user.

    What an endpoint can do is kept for good, what it cannot for `AGAIN_S` seconds. Where the disk refuses,
    this process knows it all the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, Any] = {}
        self._asking = threading.Lock()
        self._failed: tuple[float, str] | None = None

    def of(
        self,
        cloud: Cloud,
        model: str,
        *,
        live: bool,
        user: str = "",
        anew: bool = False,
        cancel: threading.Event | None = None,
    ) -> Capabilities:
        """What is known of `cloud`, else what it answers now. Raises as `ask` does.

        One at a time asks; who waited meanwhile shares its answer, also that nobody answers. CloudError
        where `cancel` is set before it is one's turn.
        """
        came = time.monotonic()
        if not anew and (known := self.get(cloud.endpoint, model, live=live)):
            return known
        while not self._asking.acquire(timeout=_TICK_S):
            _check(cancel)
        try:
            _check(cancel)
            found = None if anew else self.get(cloud.endpoint, model, live=live)
            return found or self._asked(cloud, model, live, user, came)
        finally:
            self._asking.release()

    def _asked(self, cloud: Cloud, model: str, live: bool, user: str, came: float) -> Capabilities:
        if self._failed is not None and self._failed[0] >= came:
            raise CloudError(self._failed[1])
        try:
            found = ask(cloud, live=live, user=user)
        except CloudError as error:
            self._failed = time.monotonic(), str(error)
            raise
        self.put(cloud.endpoint, model, found, live=live)
        return found

    def get(self, endpoint: str, model: str, *, live: bool) -> Capabilities | None:
        """What is known of `model` at `endpoint`; None where it is to be asked."""
        name = f"{endpoint} {model}"
        kept = None
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            kept = _read(json.loads(self._path.read_bytes()).get(name), live)
        return kept or _read(self._seen.get(name), live)

    def put(self, endpoint: str, model: str, found: Capabilities, *, live: bool) -> None:
        """Keep what was found; `live` says whether it was asked how it goes on with a text."""
        name, entry = f"{endpoint} {model}", asdict(found) | {"live": live, "asked": time.time()}
        kept: dict[str, Any] = {}
        with suppress(OSError, ValueError, TypeError, RecursionError):
            kept = dict(json.loads(self._path.read_bytes()))
        if not live and (before := _read(kept.get(name), True)):  # of which nobody asked now
            entry |= {one: getattr(before, one) for one in _CONTINUED} | {"live": True}
        self._seen[name] = entry
        with suppress(OSError):
            kept[name] = entry
            make_folder(self._path.parent)
            write_whole(self._path, json.dumps(kept, indent=1).encode(), durable=False)


def _check(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise CloudError("stopped before the cloud was asked what it can do")


def _read(entry: Any, live: bool) -> Capabilities | None:
    """An entry as far as it may still be believed; it may be of an earlier version, or of anybody."""
    with suppress(ValueError, KeyError, TypeError):
        found = Capabilities(**{one.name: entry[one.name] for one in fields(Capabilities)})
        if found.continuation in (*get_args(Dialect), None) and found.chat_logprobs >= 0:
            able = found.chat_logprobs > 0 and (found.continuation is not None or not live)
            asked = entry.get("live") is True or not live
            if able or (asked and 0 <= time.time() - entry.get("asked", 0) < AGAIN_S):
                return found
    return None
