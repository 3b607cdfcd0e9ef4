"""The report of a run: its sections in the order in which a reader asks."""

from bilevel.reporting import credits, ending, failures, flow, gains, making
from bilevel.reporting.document import Report
from bilevel.reporting.seen import Seen


def report_of(seen: Seen) -> Report:
    """The whole report, computed from the records and from nothing else; it names no folder of its own."""
    summary, run = seen.summary, seen.run
    said = (gains, ending, credits, failures, making)
    parts = [part.in_short(seen) for part in said]
    ended = {"finished": "finished", "limit": "ended by a limit"}.get(run.state, f"not ended ({run.state})")
    return Report(
        title=f"{summary.recipe} on {summary.task}",
        lead=(
            run.recipe.title,
            f"researcher {summary.researcher} · {summary.objective}, {summary.direction} · seed {summary.seed} · "
            f"{ended}",
        ),
        short=tuple(line for part in parts for line in part),
        sections=(
            gains.improvement(seen), gains.changes(seen), credits.credit(seen), *flow.flow(seen),
            failures.failures(seen), making.cost(seen), making.environment(seen), making.again(seen),
        ),
        stamp=seen.stamp,
    )  # fmt: skip
