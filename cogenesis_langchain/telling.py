"""What a request may tell, and in whose account: the numbers that permits, vetoes and caps go by."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from cogenesis_langchain.engine import Engine
from cogenesis_langchain.route import LEVELLED
from cogenesis_langchain.state import RouterState, RunContext
from cogenesis_langchain.types import GenericTask, Level, Route, Step

if TYPE_CHECKING:
    from pydantic import SecretStr


class Telling:
    """The part of a request that the ledger counts. `scope` is the vault's, (user, thread)."""

    def __init__(self, engine: Engine, state: RouterState, context: RunContext) -> None:
        self.engine = engine
        self.state = state
        self.context = context
        self.user = str(context.user_id)
        self.scope = (self.user, context.thread)

    def step(self) -> Step:
        """Where the request stands now."""
        return as_step(self.state["route"], self.state["level"])

    @property
    def about(self) -> str:
        """Under which id the ledger charges what is asked now; empty before the decision."""
        return self.state.get("asked", {}).get("id") or ""

    def asked(self, step: Step) -> Step:
        """`step` at the level that the decision asked for: a veto to a lower one still tells as much."""
        level = self.state.get("asked", {}).get("level")
        if not level or step.route not in LEVELLED:
            return step
        return min(
            step, Step(step.route, Level(level)), key=lambda told: told.rank
        )  # never less than is told

    def bits(self, step: Step) -> float | None:
        """Upper bound of what a request at `step` tells; None where there is none.

        In form live that of the first request, with where the text ends, which the number of requests shows
        (and a nat, see `shadow`); what further ones tell comes on top. On a trusted endpoint nothing counts.
        """
        if step.route not in LEVELLED or not step.level:
            return None
        bits = self.engine.vocabulary.bits(step.level)
        if step.route is not Route.LIVE or bits is None:
            return bits
        return None if self.trusted else bits + self.engine.config.fuse.live.end_bits

    @property
    def trusted(self) -> bool:
        """Whether the policy lists the cloud's endpoint as one that may read private text (form live)."""
        return self.engine.trusts_cloud

    def told(self, step: Step) -> GenericTask | None:
        """What of the closed lists a body at `step` tells."""
        task = self.state["task"]
        if step.route not in LEVELLED or step.level is Level.FREE or not task or not task["kind"]:
            return None
        return GenericTask(task["kind"], task["topic"] if step.level is Level.TOPIC else None)

    def over_cap(self, step: Step) -> str:
        """Why `step` does not fit under the caps of `privacy.ledger`; empty where it does.

        Raises AuditError where what was told cannot be counted.
        """
        if not self.engine.config.privacy.ledger.capped:
            return ""
        return self.engine.audit.over_cap(
            user=self.user,
            endpoint=self.engine.cloud.endpoint,
            credential=self._credential,
            route=step.route.value,
            bits=self.bits(step),
            about=self.about,
        )

    def vetoed(self, reason: str, step: Step | None = None) -> None:
        """Records, unless this is a dry run, that the store left only `step` (default local) of the task.

        The ledger charges what was asked: what is missing tells something too. Raises AuditError.
        """
        if self.context.dry_run:
            return
        step = step or Step(Route.LOCAL)
        self.engine.audit.veto(
            route=step.route.value,
            level=step.level.value if step.level else None,
            user=self.user,
            reason=reason,
            endpoint=self.engine.cloud.endpoint,
            bits=0.0 if self.engine.policy.observe else self.bits(self.asked(self.step())),
            credential=self._credential,
            about=self.about,
        )

    @property
    def _credential(self) -> SecretStr | None:
        cloud = self.engine.config.models.cloud
        return cloud.api_key if cloud else None


def as_step(route: str | None, level: str | None) -> Step:
    """State's two strings as a Step."""
    return Step(Route(route or "local"), Level(level) if level else None)


def asked(step: Step) -> dict[str, str | None]:
    """What the state keeps of a decision for `step`, whatever a veto leaves of it."""
    return {"level": step.level.value if step.level else None, "id": uuid4().hex}
