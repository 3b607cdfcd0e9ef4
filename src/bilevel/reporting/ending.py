"""How a run stands that has not come to its end: killed, stopped, waiting, or still at work."""

from collections.abc import Iterator

from bilevel.cli.progress import change_text
from bilevel.dashboard.frame import level_title
from bilevel.reporting.document import Block, Items, Words
from bilevel.reporting.seen import Seen
from bilevel.reporting.words import NOTHING, count

MOST = 20  # trials under way that are named
STANDS = {
    "interrupted": "was interrupted (killed, or ended by an error)",
    "stopped": "was stopped by a person",
    "waiting": "waits for measurements from whoever drives it",
    "paused": "is paused, and waits for a person",
    "gate": "is at a gate, and waits for a person",
    "running": "goes on",
}
ENDED = ("finished", "limit")


def in_short(seen: Seen) -> Iterator[str]:
    """That the run has not ended, and what brings it to its end; nothing where it has."""
    state = seen.run.state
    if state in ENDED:
        return
    many = count(len(seen.run.inner), "trial")
    way_on = "" if seen.run.live else ", and `bilevel resume RUN` goes on with it"
    yield f"Not the end: the run {STANDS.get(state, f'is {state}')} after {many} of level 1{way_on}."


def under_way(seen: Seen) -> Iterator[Block]:
    """The trials that were asked for and have no end; none of them counts anywhere in this report."""
    levels = {branch.id: branch.level for branch in seen.run.store.branches()}
    found = seen.run.store.under_way()
    if not found or seen.run.state in ENDED:
        return
    when = "under way" if seen.run.live else "under way when it ended, and tried again by a resume"
    more = f", of which the first {MOST} are named" if len(found) > MOST else ""
    yield Words(f"{count(len(found), 'trial')} {when}{more}:")
    yield Items(
        tuple(
            f"{branch}#{pending.number}, {level_title(levels[branch])}, by {pending.proposal.author or NOTHING}: "
            f"{change_text(pending)}"
            for branch, pending in found[:MOST]
        )
    )
