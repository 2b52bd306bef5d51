"""The nodes from the send to the finished text: what goes out goes once, what comes back is data.

A node never raises for a broken receipt book or cloud: it records why, and the request moves right.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from cogenesis_langchain.conversing import Conversation
from cogenesis_langchain.deciding import decide_now
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import AuditError, CloudError, GateError, GateHit, SketchError
from cogenesis_langchain.fusing import unable, written
from cogenesis_langchain.fusion.records import drafts_text, traces_text
from cogenesis_langchain.gate.permit import Permit
from cogenesis_langchain.interning import intern_message
from cogenesis_langchain.links import strip_links
from cogenesis_langchain.placeholders import StreamRestorer
from cogenesis_langchain.preamble import without_preamble
from cogenesis_langchain.request import (
    NOT_SENT,
    Request,
    Run,
    Update,
    approval,
    clock,
    stopped,
    why,
)
from cogenesis_langchain.sketch import parse_sketch
from cogenesis_langchain.state import RouterState, names
from cogenesis_langchain.streaming import emit
from cogenesis_langchain.types import Outbound, Receipt, Route, Sketch, Step, TokenTrace


class Sending:
    """Send, write, block and finish, over one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def _request(self, state: RouterState, runtime: Run) -> Request:
        return Request(self.engine, state, runtime.context)

    def send(self, state: RouterState, runtime: Run, config: RunnableConfig) -> Update:
        """Sends exactly the prepared bytes. A failure moves right; the local model reads meanwhile."""
        request, timings = self._request(state, runtime), dict(state["timings"])
        shown = state["outbound"][-1]
        outbound = Outbound(shown["endpoint"], self.engine.vault.get(request.scope, shown["body"]))
        if reason := self._forbidden(request, shown["id"]):
            return request.stay(reason)
        told: list[Receipt] = []
        try:
            permit = request.permit(outbound, request.step(), told.append)
            update = self._answer(request, config, outbound, permit, timings)
        except GateError as error:
            gone = [*state["stopped"], shown | stopped(error)]
            update = request.refused(error) | {"outbound": state["outbound"][:-1], "stopped": gone}
        except SketchError as error:
            update = request.after_failure(why(error))
        except CloudError as error:
            update = request.after_failure(why(error), cloud_works=False)
        except NOT_SENT as error:
            update = request.stay(why(error))
        return update | {"timings": timings, "receipts": [*state["receipts"], *self._receipts(told)]}

    def _answer(
        self,
        request: Request,
        config: RunnableConfig,
        outbound: Outbound,
        permit: Permit,
        timings: dict[str, float],
    ) -> Update:
        """What comes back: a sketch, drafts, or the whole text."""
        route = request.step().route
        # With `ask` the endpoint was not asked before the approval what it can do, else it was.
        if request.state["ask"] and (reason := unable(request, route, probe=True)):
            return request.stay(reason, Step(Route.SKETCH, request.step().level))
        if route is Route.LIVE:
            return self._conversed(request, config, Conversation(request, outbound, permit, timings), timings)
        with clock(timings, "cloud_ms"):
            if route not in (Route.SKETCH, Route.FUSE):
                return self._restored(request, config, outbound, permit, timings)
            Warming(request).start()
            if route is Route.SKETCH:
                return {"sketch": list(parse_sketch(self.engine.cloud.send(outbound, permit)).points)}
            drafts = drafts_text(self.engine.cloud.drafts(outbound, permit))
            return {"drafts": self.engine.vault.put(request.scope, drafts)}

    def _forbidden(self, request: Request, outbound_id: str) -> str:
        """Why the prepared bytes may not go after all: much may have happened since, a restart included."""
        if request.context.dry_run:
            return "a dry run sends nothing: local"
        now, _ = decide_now(request)
        if now.step.rank > request.step().rank:
            return f"meanwhile only {now.step} is allowed: local"
        if not self.engine.vault.spend(request.scope, outbound_id):
            return "these bytes were sent once already, and are not sent twice: local"
        if now.ask and self.engine.vault.spend(request.scope, approval(outbound_id)):
            return "the policy asks first, and nobody approved these bytes: local"
        return ""

    def _receipts(self, told: list[Receipt]) -> list[dict[str, Any]]:
        """The receipts of this send, one per attempt, with how each attempt ended."""
        if not told:
            return []
        with suppress(AuditError):  # what was sent is told all the same
            told = self.engine.audit.ended(told)
        return [receipt.as_dict() for receipt in told]

    def _restored(
        self,
        request: Request,
        config: RunnableConfig,
        outbound: Outbound,
        permit: Permit,
        timings: dict[str, float],
    ) -> Update:
        """The cloud's own text, its placeholders restored as it streams (routes mask and cloud)."""
        restorer = StreamRestorer(self.engine.vault.table(request.scope))

        def pieces() -> Iterator[str]:
            for delta in self.engine.cloud.stream(outbound, permit):
                if text := restorer.feed(delta):
                    yield text
            if text := restorer.close():
                yield text

        return self._emit(request, strip_links(pieces(), request.supplied()), config, timings)

    def write(self, state: RouterState, runtime: Run, config: RunnableConfig) -> Update:
        """The final text by the local model, from sketch and private context, token by token."""
        request, timings = self._request(state, runtime), dict(state["timings"])
        local = self.engine.config.models.local
        if state["drafts"]:
            trace: list[TokenTrace] = []
            update = self._written(request, written(request, state["drafts"], trace), config, timings)
            return update | self._traced(request, trace)
        tokens = self.engine.writer.write(
            request.prompt(Sketch(tuple(state["sketch"])).as_text() if state["sketch"] else None),
            scope=request.user,
            max_tokens=local.max_tokens,
            temperature=local.temperature,
            cancel=runtime.context.cancel,
        )
        return self._written(request, tokens, config, timings)

    def _conversed(
        self, request: Request, config: RunnableConfig, talk: Conversation, timings: dict[str, float]
    ) -> Update:
        """The text of form live, and what of it the cloud was shown meanwhile."""
        trace: list[TokenTrace] = []
        try:
            update = self._written(request, talk.written(trace), config, timings)
        except GateHit as hit:  # the policy blocks what the gate stops
            return request.refused(hit) | talk.bodies()
        return update | self._traced(request, trace) | talk.ended() | talk.bodies()

    def _traced(self, request: Request, trace: list[TokenTrace]) -> Update:
        return {"trace": self.engine.vault.put(request.scope, traces_text(trace))}

    def _written(
        self, request: Request, tokens: Iterator[str], config: RunnableConfig, timings: dict[str, float]
    ) -> Update:
        """Streams what the local model writes, without its preambles and made-up links."""
        made: list[float] = []
        pieces = strip_links(without_preamble(_stamped(tokens, made)), request.supplied())
        update = self._emit(request, pieces, config, timings)
        if len(made) > 1:  # counted where the model gives them: links and preambles are held back in between
            timings["tokens_per_s"] = (len(made) - 1) / max(made[-1] - made[0], 1e-9)
        return update

    def _emit(
        self, request: Request, pieces: Iterator[str], config: RunnableConfig, timings: dict[str, float]
    ) -> Update:
        """Streams `pieces` to whoever listens; the whole text goes into the vault."""
        first: list[float] = []

        def timed() -> Iterator[str]:
            for piece in pieces:
                if not first:
                    first.append(time.perf_counter())
                yield piece

        message_id = str(uuid.uuid4())
        prompt = str(request.state["messages"][-1].content)
        text = emit(timed(), handle=prompt, message_id=message_id, config=config)
        if first:
            timings["first_token_ms"] = (first[0] - request.context.started) * 1000
        vault = self.engine.vault
        message = intern_message(AIMessage(content=text, id=message_id), vault, request.scope)
        return {"messages": [message], "text": vault.put(request.scope, text), "timings": timings}

    def block(self, state: RouterState, runtime: Run) -> Update:
        """Nothing is sent and nothing is written; the answer says why."""
        del runtime
        said = f"Blocked by the policy: {state['reasons'][-1]}. Nothing was sent and nothing was written."
        return {"messages": [AIMessage(content=said, id=str(uuid.uuid4()))]}

    def finish(self, state: RouterState, runtime: Run) -> Update:
        """The run's total time; the router has been the only one to see the text."""
        timings = dict(state["timings"])
        timings["total_ms"] = (time.perf_counter() - runtime.context.started) * 1000
        update: Update = {"timings": {name: round(value, 2) for name, value in timings.items()}}
        if not runtime.context.dry_run:
            update["placed"] = names(state)
        return update


class Warming:
    """Reads the person's context into the local model while the cloud drafts."""

    def __init__(self, request: Request) -> None:
        self._cancel = request.context.cancel
        self._writer, self._scope = request.engine.writer, request.user
        self._prompt = request.prompt(sketch="")

    def start(self) -> None:
        """Returns at once. A failure here is met again, and reported, when the text is written.

        No daemon thread: Python would free the model under it at exit, which aborts the process. The run's
        end sets `cancel`, so exit waits for one chunk at most.
        """
        threading.Thread(target=self._run, daemon=False, name="cogenesis-warming").start()

    def _run(self) -> None:
        try:
            self._writer.warm(self._prompt, scope=self._scope, cancel=self._cancel)
        except Exception:
            return


def _stamped(pieces: Iterator[str], times: list[float]) -> Iterator[str]:
    """`pieces`, with the moment of each in `times`; closes them when its reader stops."""
    try:
        for piece in pieces:
            times.append(time.perf_counter())
            yield piece
    finally:
        if close := getattr(pieces, "close", None):
            close()
