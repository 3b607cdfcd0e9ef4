"""What the steps of a workflow did to the text, and what was measured of addenda to them."""

from collections.abc import Iterator

from bilevel.guided import AddendumTrial, Guided
from bilevel.reporting.document import Block, Grid, Items, Section, Words
from bilevel.reporting.seen import Seen
from bilevel.reporting.words import NOTHING, gain, number
from bilevel.steps import Steps

FOLLOWED = (
    "reached the text: of what was said, what a changed paragraph goes back to; of an assessment, the edits that it "
    "took out. Answers are followed; left out are only steps that a text inserted. That one is decisive says that it "
    "mattered, not that it helped."
)


def flow(seen: Seen) -> Iterator[Section]:
    """A section where the researcher takes steps; none else."""
    summary = seen.summary
    blocks: list[Block] = [*_steps(summary.steps), *([] if summary.guided is None else _guided(summary.guided))]
    if blocks:
        yield Section("What each step did", "steps", tuple(blocks))


def _steps(steps: Steps) -> Iterator[Block]:
    if not steps:
        return
    rows = tuple(
        (step, *map(str, (one.asked, one.sent_back, one.failed, one.said, one.reached, one.decisive)))
        for step, one in steps.items()
    )
    header = ("step", "asked", "sent back", "gave up", "said", "reached the text", "decisive in trials")
    yield Grid("The ledger of the steps, over all trials", header, rows)
    inert = [step for step, one in steps.items() if one.inert]
    yield Items((*(f"{step} is inert: it changed no text" for step in inert), FOLLOWED))


def _guided(found: Guided) -> Iterator[Block]:
    rows = tuple(
        (
            str(one.trial), f"{one.change} {one.step}", one.text, number(one.challenger_best), number(one.control_best),
            gain(one.gain), _interval(one), f"{'kept' if one.kept else 'discarded'}: {one.reason}",
        )
        for one in found.trials
    )  # fmt: skip
    if rows:
        yield Grid(
            "Each addendum beside the same cycle without it, on the same seeds",
            ("trial", "change", "text", "best with the change", "best without", "gain", "all its forks", "decision"),
            rows, words=3, ends_in_words=True,
        )  # fmt: skip
    force = "; ".join(f"{step}: {text}" for step, text in found.in_force.items())
    yield Words(f"Addenda in force at the end: {force or 'none'}.")


def _interval(one: AddendumTrial) -> str:
    told = one.verdict
    if told is None or not told.forks:
        return NOTHING
    return f"{told.word} {told.effect:+.4g} [{told.low:+.4g}, {told.high:+.4g}] of {told.forks}"
