"""`cogenesis ledger show`: what the cloud could know about you by now."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cogenesis_langchain.commands.common import (
    ConfigOption,
    JsonOption,
    load_engine,
    named,
    out,
    print_json,
)
from cogenesis_langchain.errors import CoGenesisError

if TYPE_CHECKING:
    from cogenesis_langchain.ledger import Account
    from cogenesis_langchain.settings import LedgerConfig

app = typer.Typer(help="What the cloud has been told over time, counted in bits.", no_args_is_help=True)

WIDTH = 24
"""Characters of the longest bar."""
DAYS_SHOWN = 60
"""Characters of the plot over time; of more days, several share one."""
SHOWN = 12
"""Kinds and topics that are listed by name; the rest is summed up."""
_STEPS = "▁▂▃▄▅▆▇█"


@app.callback()
def _group() -> None:
    """Keeps `show` a command of its own, where it is the only one."""


@app.command()
def show(
    user: Annotated[
        str | None, typer.Option("--user", "-u", callback=named, help="Only what was told of this user.")
    ] = None,
    days: Annotated[int, typer.Option("--days", "-d", min=1, max=3650, help="The last so many days.")] = 30,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the cloud could know about you: requests, bits, kinds and topics, for each endpoint and key.

    A provider can link the requests of one key, so they add up. Ten bits tell apart 1,024 people at most,
    twenty a million: the number is an upper bound, which holds whatever your context says. `mask` and
    `free` have no such bound and are named apart. A request that the store vetoed is counted too, because
    what is missing tells something. A day is the last 24 hours; caps are set by `privacy.ledger`.
    """
    engine = load_engine(config)
    try:
        found = engine.audit.ledger(user, days)
        names = {engine.audit.owner(name): name for name in ([user] if user else _users(engine))}
    finally:
        engine.close()
    caps = engine.config.privacy.ledger
    if as_json:
        shown = [_as_dict(account, names, caps) for account in found]
        limits = {
            "max_bits_per_day": caps.max_bits_per_day,
            "max_requests_per_day": caps.max_requests_per_day,
        }
        print_json({"days": days, "caps": limits, "accounts": shown})
        return
    if not found:
        of = f" of {user}" if user else ""
        out.print(f"No cloud was told anything{of} in the last {days} days.", markup=False)
    for account in found:
        _show(account, names, caps)


def _users(engine: Any) -> list[str]:
    """The users of the store, whose names the log does not hold; none where it cannot be read."""
    try:
        return list(engine.store.users())
    except (CoGenesisError, AttributeError, OSError):
        return []


def _as_dict(account: Account, names: dict[str, str], caps: LedgerConfig) -> dict[str, Any]:
    return {
        "user": names.get(account.user),
        "user_fingerprint": account.user,
        "endpoint": account.endpoint,
        "key": account.key or None,
        "requests": account.spent.requests,
        "bits": account.spent.bits,
        "unbounded_requests": account.spent.unbounded,
        "vetoes": account.vetoes,
        "steps": dict(account.steps.most_common()),
        "kinds": dict(account.kinds.most_common()),
        "topics": dict(account.topics.most_common()),
        "bits_per_day": account.per_day,
        "left_today": account.left(caps),
    }


def _show(account: Account, names: dict[str, str], caps: LedgerConfig) -> None:
    days = len(account.per_day)
    who = names.get(account.user) or f"user {account.user[:8]}"
    key = f"key {account.key[:8]}" if account.key else "no key"
    out.print(f"What the cloud could know about {who}, last {days} days", style="bold", markup=False)
    out.print(f"  {account.endpoint or 'no endpoint'}, {key}", markup=False)
    out.print(f"  requests    {account.spent.requests}", markup=False)
    told = f"  told        at most {account.spent.bits:.1f} bits"
    if account.spent.unbounded:
        which = ", ".join(map(_asked, account.unbounded))
        told += f", and what no number bounds in {account.spent.unbounded} of the requests ({which})"
    out.print(told, markup=False)
    out.print(f"  held back   {account.vetoes} by the store's veto or at the gate", markup=False)
    together, shown = shortened(account.per_day)
    title = "bits a day" if together == 1 else f"bits in {together} days"
    out.print(f"  {title}  {sparkline(shown)}  most {max(shown):.1f}", markup=False)
    for title, counted in (("kinds", account.kinds), ("topics", account.topics)):
        out.print(f"  {title} told", markup=False)
        for line in bars(counted):
            out.print(f"    {line}", markup=False)
    for unit, left in account.left(caps).items():
        room = "no cap" if left is None else f"{left:.1f} left" if unit == "bits" else f"{left:g} left"
        out.print(f"  {unit} today: {room}", markup=False)
    out.print()


def _asked(step: str) -> str:
    """An unbounded step; a lower level than `free` is one that took its place."""
    return step if step in ("mask", "sketch:free") else f"{step} in place of free"


def bars(counted: Counter[str]) -> list[str]:
    """A line for each name, the most frequent first, with a bar as long as its share of the largest."""
    if not counted:
        return ["none, or erased"]
    listed = counted.most_common(SHOWN)
    most, room = listed[0][1], max(len(name) for name, _ in listed)
    lines = [f"{name:<{room}}  {'█' * max(1, round(WIDTH * n / most))} {n}" for name, n in listed]
    rest = len(counted) - len(listed)
    return (
        [*lines, f"and {rest} more, {counted.total() - sum(n for _, n in listed)} times"] if rest else lines
    )


def shortened(values: list[float]) -> tuple[int, list[float]]:
    """(how many days share a character, their sums, oldest first), so that the plot fits on a screen."""
    together = -(-len(values) // DAYS_SHOWN)
    first = len(values) % together  # the oldest share one with fewer days, so that the last one is whole
    starts = [*([0] if first else []), *range(first, len(values), together)]
    ends = [*starts[1:], len(values)]
    return together, [sum(values[start:end]) for start, end in zip(starts, ends, strict=True)]


def sparkline(values: list[float]) -> str:
    """A character for each value, oldest first; nothing is a dot."""
    most = max(values, default=0.0)
    return "".join(
        _STEPS[min(len(_STEPS) - 1, int(value / most * len(_STEPS)))] if value else "·" for value in values
    )
