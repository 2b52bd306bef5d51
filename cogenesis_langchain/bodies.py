"""A generic task as the one body that is sent: for a sketch, a draft, or the beginning of form live.

The store may only veto. Where the decided route or level cannot be had, what is as private or more is built.
"""

from __future__ import annotations

from typing import Any, cast

from cogenesis_langchain.errors import CloudError
from cogenesis_langchain.fusing import body, live_sentence, unable
from cogenesis_langchain.generalize import task_sentence, veto
from cogenesis_langchain.request import NOT_SENT, Request, Update, why
from cogenesis_langchain.rewording import reworded
from cogenesis_langchain.state import RouterState
from cogenesis_langchain.types import GenericTask, Level, Outbound, Route, Step

KIND_ONLY = "the topic is a known value of the user: only the kind is told"
ALL_KNOWN = "the words of the generic task are known values of the user: local"
CANNOT_ASK = "form live of fuse makes its bodies while it writes, so nobody can be asked first: form draft"
FIRST_OF = "form live: this is the first of up to {} requests; the others are made while the text is written"


def generic(request: Request) -> Update:
    """The prepared body at the step where the request stands, or the move to the right."""
    step = request.step()
    try:
        if moved := _moved(request, step):
            return moved
    except CloudError as error:
        return request.after_failure(why(error), cloud_works=False)
    except NOT_SENT as error:
        return request.stay(why(error))
    if step.level is Level.FREE:
        update = reworded(request)
        told_less = update.get("level") == Level.TOPIC
        return _again(request, update) if told_less else update
    told = request.state["task"]
    trusted = step.route is Route.LIVE and request.trusted
    if not trusted and (told is None or told["kind"] is None):
        return request.stay("no kind of text was recognised: local")
    try:
        request.engine.writer.load()  # what nobody can write out need not be asked for
        if trusted:
            update = request.prepared(body(request, step, live_sentence(request, step)))
        else:
            update = _vetted(request, step, GenericTask(**cast("dict[str, Any]", told)))
    except NOT_SENT as error:
        return request.stay(why(error))
    if step.route is Route.LIVE and not _sends(request):
        warnings = update.get("warnings", request.state["warnings"])
        update["warnings"] = [*warnings, FIRST_OF.format(request.engine.config.fuse.live.max_requests)]
    return update


def _sends(request: Request) -> bool:
    return not (request.context.dry_run or request.engine.policy.observe)


def _moved(request: Request, step: Step) -> Update | None:
    """What is prepared in place of a form of fuse that cannot be had here; None where it can."""
    if step.route is Route.LIVE and request.state["ask"]:
        return _again(request, request.stay(CANNOT_ASK, Step(Route.FUSE, step.level)))
    probe = _sends(request) and not request.state["ask"]
    reason = unable(request, step.route, probe=probe)
    return _again(request, request.stay(reason, Step(Route.SKETCH, step.level))) if reason else None


def _vetted(request: Request, step: Step, task: GenericTask) -> Update:
    level, vocabulary = step.level or Level.KIND, request.engine.vocabulary
    left = veto(task, level, request.known(), vocabulary)
    if left.level is None:
        request.vetoed(ALL_KNOWN)
        return request.stay(ALL_KNOWN)
    less = Step(step.route, left.level)
    if less != step:
        request.vetoed(KIND_ONLY, less)
    outbound: Outbound = body(request, less, task_sentence(task, less.level, vocabulary))
    update = request.prepared(outbound, less)
    if less != step and "route" not in update:
        update |= request.stay(KIND_ONLY, less)
    return update


def _again(request: Request, update: Update) -> Update:
    """`update`, and what is prepared at the step to which it moves."""
    state = cast("RouterState", {**request.state, **update})
    return update | generic(Request(request.engine, state, request.context))
