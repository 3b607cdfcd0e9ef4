"""`mechanisms rehearse`: a race on models of a task, before a mechanism costs a measurement."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from bilevel.carrying import CODE, carrier_of
from bilevel.cli.printing import console, print_json
from bilevel.errors import GuestError, InputError
from bilevel.hosting import Hosting
from bilevel.ladder import NO_MODEL
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.recipe import SandboxTable
from bilevel.rehearsal import Race, judged, rehearse
from bilevel.rules import mean
from bilevel.shelf import find
from bilevel.shelf.found import Found
from bilevel.situations import Bowl, Walk
from bilevel.trace import Trace

REFUSED = 1  # exit code


def print_rehearse(names: tuple[str, ...], run: Path | None, as_json: bool) -> int:
    """Rehearse mechanisms, each by itself. Returns the exit code."""
    hosting = Hosting(SandboxTable())
    try:
        spec, trace = _searched(run)
        done = [_rehearsed(find(name), spec, trace, hosting) for name in names]
    finally:
        hosting.close()
    if as_json:
        print_json(done)
    for one in [] if as_json else done:
        _print(one)
    return REFUSED if any(one["outcome"] == "refused" for one in done) else 0


def _searched(run: Path | None) -> tuple[LoopSpec, Trace]:
    """The innermost loop of a run, without what is in force on it, and its longest record; without one, nothing."""
    if run is None:
        return LoopSpec("nothing", Bowl(), Walk()), Trace(Bowl().objective)
    from bilevel.cli.inspecting import opened
    from bilevel.lab import Traces
    from bilevel.levels import leaf

    with opened(run, whole=True) as there:
        spec, records = leaf(there.spec), there.folder.store
        traces = Traces(records)
        found = [traces.trace(b.id, spec.task.objective) for b in records.branches() if b.level == spec.name]
        return spec, max(found, key=len, default=Trace(spec.task.objective))


def _rehearsed(found: Found, spec: LoopSpec, trace: Trace, hosting: Hosting) -> dict[str, Any]:
    if carrier_of(found.name) != CODE:
        raise InputError(f"{found.name!r} cannot be rehearsed: {NO_MODEL}; what it is worth a fork says")
    guest = Guest(found.name, found.source)
    refusal = None if found.origin == "shipped" else hosting.door.door(guest)
    alone = LoopSpec("rehearsal", spec.task, spec.researcher, (guest,), load=hosting.load)
    races: list[Race] = []
    if refusal is None:
        try:
            races = rehearse(alone, trace, guest)
        except GuestError as error:
            refusal = str(error)
    outcome, reason = ("refused", f"at the door: {refusal}") if refusal is not None else judged(races)
    rows = [
        {
            "model": race.where, "control": control, "seeds": len(gains), "gain": mean(gains),
            "low": None if len(gains) < 2 else race.interval(control)[0],
            "high": None if len(gains) < 2 else race.interval(control)[1],
        }
        for race in races
        for control, gains in race.gains.items()
    ]  # fmt: skip
    return {"name": guest.name, "outcome": outcome, "reason": reason, "races": rows}


def _print(one: dict[str, Any]) -> None:
    out = console()
    style = "red" if one["outcome"] == "refused" else "green"
    out.print(f"[bold]{escape(one['name'])}[/]: [{style}]{one['outcome']}[/]", highlight=False)
    if one["outcome"] == "refused":
        out.print(f"  {one['reason']}", highlight=False, markup=False, soft_wrap=True)
    if not one["races"]:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for heading in ("model", "over", "seeds", "mean gain, 90 %"):
        table.add_column(heading, overflow="fold")
    for row in one["races"]:
        bounds = "" if row["low"] is None else f" [{row['low']:+.3g}, {row['high']:+.3g}]"
        table.add_row(escape(row["model"]), row["control"], str(row["seeds"]), escape(f"{row['gain']:+.3g}{bounds}"))
    out.print(table)
