"""Guardrails and the front of several objectives, as a terminal shows them."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bilevel.fronts import Front, Guarded


def print_guarded(console: Console, guardrails: Sequence[Guarded]) -> None:
    """Each guardrail, and how many trials it stopped."""
    for one in guardrails:
        missing = f", missing in {one.missing}" if one.missing else ""
        console.print(f"  guardrail: {one.text}; broken in {one.broken} trials{missing}", highlight=False, markup=False)


def print_front(console: Console, front: Front) -> None:
    """The front as a table, and its volume with the reference point."""
    table = Table(box=None, pad_edge=False, padding=(0, 2), title="front", title_justify="left")
    table.add_column("trial")
    for axis in front.axes:
        table.add_column(escape(axis.name), justify="right")
    table.add_column("change from the baseline")
    for point in front.points:
        changes = [f"{name} {old!r} -> {new!r}" for name, (old, new) in point.changes.items()]
        text = ", ".join([*changes, *(f"{name} edited" for name in point.files)]) or "the baseline"
        values = (f"{point.values[axis.name]:.6g}" for axis in front.axes)
        table.add_row(escape(point.trial), *values, escape(text))
    console.print(table)
    ways = ", ".join(f"{axis.name} ({axis.direction}, noise margin {axis.margin:.2g})" for axis in front.axes)
    left = f"; {front.incomplete} more lack one of the metrics" if front.incomplete else ""
    lines = [f"{len(front.points)} of {front.measured} candidates are dominated by none{left}", f"objectives: {ways}"]
    if front.volume is not None:
        place = ", ".join(f"{axis.name} {axis.reference:.6g}" for axis in front.axes)
        lines.append(f"hypervolume {front.volume:.6g} against the reference point {place}")
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
