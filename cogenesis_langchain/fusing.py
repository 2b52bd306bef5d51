"""Route `fuse` as the nodes use it: whether it can run here, its bodies, and the text from a draft.

Form `draft` (route `fuse`) sends one body, which depends on the generic task alone. Form `live` goes on from
its first body as `conversing` says. What cannot run here is sketched, which is as private.
"""

from __future__ import annotations

from cogenesis_langchain.errors import GateError, WriterError
from cogenesis_langchain.fusion.records import read_drafts
from cogenesis_langchain.generalize import task_sentence
from cogenesis_langchain.logprobs import LISTED
from cogenesis_langchain.request import Request
from cogenesis_langchain.sketch import draft_messages, sketch_messages
from cogenesis_langchain.types import (
    Capabilities,
    CloudMessage,
    GenericTask,
    Outbound,
    Pieces,
    Route,
    Sendable,
    Step,
    TokenTrace,
)
from cogenesis_langchain.writer.protocol import Stepping

NO_STEPS = (
    "route fuse needs the local model in this process (models.local.provider: llama_cpp), "
    "and this one is behind a server: a sketch instead"
)
NO_LOGPROBS = "the cloud gives no log-probabilities, which route fuse needs: a sketch instead"
NO_CONTINUATION = "the cloud cannot go on with a text, which form live of fuse needs: a sketch instead"


def body(request: Request, step: Step, sentence: Sendable) -> Outbound:
    """The exact bytes that tell `sentence` at `step`; of form live the first ones. Contacts nobody.

    Raises as `Cloud.prepare` does.
    """
    cloud, fuse = request.engine.cloud, request.engine.config.fuse
    if step.route is Route.SKETCH:
        return cloud.prepare(sketch_messages(sentence))
    if step.route is Route.LIVE:
        return continuation(request, draft_messages(sentence), "")
    can = request.engine.capabilities(probe=False)
    return cloud.prepare(
        draft_messages(sentence),
        max_tokens=fuse.draft_tokens,
        logprobs=(can and can.chat_logprobs) or LISTED,
        samples=1 if can is not None and not can.samples else fuse.samples,
    )


def continuation(request: Request, messages: list[CloudMessage], shadow: str) -> Outbound:
    """The body that asks to go on with `shadow`, which `conversing` releases. Raises as `prepare`."""
    engine = request.engine
    prefix = Sendable(shadow, "trusted" if request.trusted else "shadow")
    # What nobody asked yet is not asked for a first body.
    can = engine.capabilities(probe=bool(shadow), user=request.user, cancel=request.context.cancel)
    return engine.cloud.prepare_continuation(
        messages,
        prefix,
        max_tokens=engine.config.fuse.live.block,
        dialect=(can and can.continuation) or "llama-server",
        logprobs=(can and (can.completions_logprobs or can.chat_logprobs)) or LISTED,
    )


def live_sentence(request: Request, step: Step) -> Sendable:
    """What form live asks for: the generic task, or at a trusted endpoint the instruction itself.

    GateError where there is no generic task.
    """
    if request.trusted:
        return Sendable(request.instruction(), "trusted")
    told = request.state["task"]
    if told is None or told["kind"] is None:
        raise GateError("no kind of text was recognised, so nothing is sent")
    task = GenericTask(told["kind"], told["topic"])
    return task_sentence(task, step.level, request.engine.vocabulary)


def unable(request: Request, route: Route, *, probe: bool) -> str:
    """Why `route` cannot run here, so that a sketch must do; empty where it can.

    With `probe` the endpoint is asked once what it gives (constant bytes, through the gate); the answer is
    kept. Raises ConfigError for a combiner that cannot be made, and what a send raises.
    """
    engine = request.engine
    if route not in (Route.FUSE, Route.LIVE):
        return ""
    if not isinstance(engine.writer, Stepping):
        return NO_STEPS
    engine.combiner()
    if not probe:
        return ""
    can = engine.capabilities(user=request.user, cancel=request.context.cancel) or Capabilities()
    if route is Route.LIVE:
        return NO_CONTINUATION if can.continuation is None else ""
    return "" if can.chat_logprobs else NO_LOGPROBS


def stepping(request: Request) -> Stepping:
    """The local model, which `unable` found fit. Raises WriterError where it was exchanged since."""
    writer = request.engine.writer
    if not isinstance(writer, Stepping):
        raise WriterError("the local model was exchanged while a text was written: ask again")
    return writer


def written(request: Request, drafts: str, trace: list[TokenTrace]) -> Pieces:
    """The text by the local model, which consults the drafts behind the handle. Raises WriterError."""
    from cogenesis_langchain.fuse.draft import fuse_draft

    engine, cancel = request.engine, request.context.cancel
    local, cloud = engine.config.models.local, engine.config.models.cloud
    found = read_drafts(engine.vault.get(request.scope, drafts))
    with stepping(request).steps(request.prompt(None), scope=request.user, cancel=cancel) as steps:
        return (
            yield from fuse_draft(
                steps,
                found,
                engine.combiner(steps.vocabulary),
                max_tokens=local.max_tokens,
                temperature=local.temperature,
                drafted_at=cloud.temperature if cloud else 1.0,
                cancel=cancel,
                trace=trace,
            )
        )
