"""The cases of the evasion attack: a value in a spelling, at a place, by a route, through a door.

A door is one of the ways in which a router is called.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from cogenesis_langchain.evals.disguises import DISGUISES, disguised
from cogenesis_langchain.evals.values import CARRIERS, FILLERS, Value
from cogenesis_langchain.router import last_text
from cogenesis_langchain.state import RouterContext

ROUTES = ("cloud", "mask", "sketch:topic", "sketch:kind", "fuse:topic", "live:topic", "local", "block")
SENDING = ROUTES[:6]
DOORS = ("invoke", "stream", "ainvoke", "astream", "batch", "abatch", "chain", "turns", "fallback", "retry")
PLACES = ("asked", "earlier", "tool result", "tool argument")
_CUT = frozenset({"as it is", "lower", "UPPER"})  # spellings that are also cut over two messages
_SLOW = frozenset({"retry"})  # waits between attempts: one case in 50
USER = "the fictional user"


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `number` chooses the sentence around the value."""

    value: Value = field(repr=False)
    number: int
    spelling: str
    route: str
    door: str
    place: str

    def text(self) -> str:
        """The value as it stands in the request."""
        return disguised(self.value.text, self.spelling, str(self.number))

    def twin(self) -> Case:
        """The same request without the value: what stands for it is harmless, and spelt plainly."""
        kind = self.value.type
        filler = Value(FILLERS[kind], kind, False, ())
        return replace(self, value=filler, number=self.number % len(CARRIERS[kind]), spelling="as it is")

    def carrier(self) -> str:
        """The sentence around the value."""
        carriers = CARRIERS[self.value.type]
        return carriers[self.number % len(carriers)]

    def where(self) -> dict[str, Any]:
        """All but the value: what a report may show."""
        names = ("number", "spelling", "route", "door", "place")
        return {"type": self.value.type} | {name: getattr(self, name) for name in names}


def cases(values: Sequence[Value], routes: Sequence[str] = ROUTES) -> Iterator[Case]:
    """Every value in every spelling by every route; places and doors go round, so that all of them meet.

    Spellings that leave a value as it is are left out (a number has no lower case), and of the routes that
    send nothing every second case or so.
    """
    numbers = itertools.count()
    for (v, value), (s, spelling) in itertools.product(enumerate(values), enumerate(DISGUISES)):
        if s and disguised(value.text, spelling) == value.text:
            continue
        places = PLACES + (("cut",) if spelling in _CUT else ())
        for r, route in enumerate(routes):
            number = next(numbers)
            if route not in SENDING and number % 7 > 2:
                continue
            door = DOORS[(v + s * 3 + r) % len(DOORS)]
            if door in _SLOW and number % 5:
                door = "invoke"
            yield Case(value, number, spelling, route, door, places[(v * 2 + s + r) % len(places)])


def messages(case: Case) -> list[BaseMessage]:
    """The request, with the value at its place. The last message of the person asks for a text."""
    text, carrier = case.text(), case.carrier()
    plain = carrier.format(FILLERS[case.value.type])
    if case.place == "asked":
        return [HumanMessage(carrier.format(text))]
    if case.place == "earlier":
        return [HumanMessage(f"I wanted to say: {text}"), AIMessage("Noted."), HumanMessage(plain)]
    if case.place == "cut":
        half = len(text) // 2
        return [HumanMessage(plain), AIMessage(f"It was {text[:half]}"), HumanMessage(text[half:] + " then")]
    arguments = {"query": text if case.place == "tool argument" else "the list"}
    found = text if case.place == "tool result" else "one entry"
    call = {"name": "look_up", "args": arguments, "id": "call_1"}
    return [
        HumanMessage(plain),
        AIMessage("", tool_calls=[call]),
        ToolMessage(f"found: {found}", tool_call_id="call_1"),
    ]


def _context(case: Case) -> RouterContext:
    return RouterContext(user_id=USER, tags=(case.route,))


def _invoke(router: Any, case: Case) -> None:
    router.invoke(messages(case), context=_context(case))


def _stream(router: Any, case: Case) -> None:
    for _ in router.stream(messages(case), context=_context(case), stream_mode="messages"):
        pass


def _ainvoke(router: Any, case: Case) -> None:
    asyncio.run(router.ainvoke(messages(case), context=_context(case)))


def _astream(router: Any, case: Case) -> None:
    async def drain() -> None:
        async for _ in router.astream(messages(case), context=_context(case), stream_mode="values"):
            pass

    asyncio.run(drain())


def _batch(router: Any, case: Case) -> None:
    router.batch([messages(case)], context=_context(case))


def _abatch(router: Any, case: Case) -> None:
    asyncio.run(router.abatch([messages(case)], context=_context(case)))


def _chain(router: Any, case: Case) -> None:
    for _ in (router | last_text).stream(messages(case), context=_context(case)):
        pass


def _turns(router: Any, case: Case) -> None:
    """All but the last message in one turn of a thread, the last one in the next."""
    said = messages(case)
    thread: Any = {"configurable": {"thread_id": uuid.uuid4().hex}}
    if len(said) > 1 and isinstance(said[0], HumanMessage):
        router.invoke(said[:1], thread, context=_context(case))
        said = said[1:]
    router.invoke(said, thread, context=_context(case))


OPEN: dict[str, Callable[[Any, Case], None]] = {
    "invoke": _invoke,
    "stream": _stream,
    "ainvoke": _ainvoke,
    "astream": _astream,
    "batch": _batch,
    "abatch": _abatch,
    "chain": _chain,
    "turns": _turns,
    "fallback": _invoke,
    "retry": _invoke,
}
