"""The nodes from the send to the finished text: what goes out goes once, what comes back is data.

A node never raises for a broken receipt book or cloud: it records why, and the request moves right.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from cogenesis_langchain.answering import CUT, OF_CLOUD, OF_LOCAL, Answer
from cogenesis_langchain.conversing import Conversation
from cogenesis_langchain.deciding import decide_now
from cogenesis_langchain.engine import Engine
from cogenesis_langchain.errors import AuditError, CloudError, GateError, GateHit, SketchError
from cogenesis_langchain.fusing import unable, written
from cogenesis_langchain.fusion.records import drafts_text, traces_text
from cogenesis_langchain.gate.permit import Permit
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
            update = self._answer(Answer(request, config, timings), outbound, permit)
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

    def _answer(self, answer: Answer, outbound: Outbound, permit: Permit) -> Update:
        """What comes back: a sketch, drafts, or the whole text."""
        request, timings, cloud = answer.request, answer.timings, self.engine.cloud
        step = request.step()
        # With `ask` the endpoint was not asked before the approval what it can do, else it was.
        if request.state["ask"] and (reason := unable(request, step.route, probe=True)):
            return request.stay(reason, Step(Route.SKETCH, step.level))
        if step.route is Route.LIVE:
            return self._conversed(answer, Conversation(request, outbound, permit, timings))
        with clock(timings, "cloud_ms"):
            if step.route not in (Route.SKETCH, Route.FUSE):
                return answer.restored(cloud.stream(outbound, permit))
            Warming(request).start()
            if step.route is Route.SKETCH:
                return {"sketch": list(parse_sketch(cloud.send(outbound, permit)).points)}
            drafts = drafts_text(cloud.drafts(outbound, permit))
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

    def write(self, state: RouterState, runtime: Run, config: RunnableConfig) -> Update:
        """The final text by the local model, from sketch and private context, token by token."""
        request, local = self._request(state, runtime), self.engine.config.models.local
        answer = Answer(request, config, dict(state["timings"]))
        if state["drafts"]:
            trace: list[TokenTrace] = []
            update = answer.written(written(request, state["drafts"], trace))
            return update | self._traced(request, trace)
        tokens = self.engine.writer.write(
            request.prompt(Sketch(tuple(state["sketch"])).as_text() if state["sketch"] else None),
            scope=request.user,
            max_tokens=local.max_tokens,
            temperature=local.temperature,
            cancel=runtime.context.cancel,
        )
        return answer.written(tokens)

    def _conversed(self, answer: Answer, talk: Conversation) -> Update:
        """The text of form live, and what of it the cloud was shown meanwhile."""
        trace: list[TokenTrace] = []
        try:
            update = answer.written(talk.written(trace))
        except GateHit as hit:  # the policy blocks what the gate stops
            return answer.request.refused(hit) | talk.bodies()
        return update | self._traced(answer.request, trace) | talk.ended() | talk.bodies()

    def _traced(self, request: Request, trace: list[TokenTrace]) -> Update:
        return {"trace": self.engine.vault.put(request.scope, traces_text(trace))}

    def block(self, state: RouterState, runtime: Run) -> Update:
        """Nothing is sent and nothing is written; the answer says why."""
        del runtime
        said = f"Blocked by the policy: {state['reasons'][-1]}. Nothing was sent and nothing was written."
        return {"messages": [AIMessage(content=said, id=str(uuid.uuid4()))]}

    def finish(self, state: RouterState, runtime: Run) -> Update:
        """The run's total time, and whether the text was cut; only the router has seen the text."""
        timings = dict(state["timings"])
        timings["total_ms"] = (time.perf_counter() - runtime.context.started) * 1000
        update: Update = {"timings": {name: round(value, 2) for name, value in timings.items()}}
        if state.get("finish_reason") == "length":  # an earlier version's thread has none
            setting = OF_CLOUD if state["route"] in (Route.MASK, Route.CLOUD) else OF_LOCAL
            update["warnings"] = [*state["warnings"], CUT.format(setting)]
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
