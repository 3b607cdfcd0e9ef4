"""What the steps of a workflow did in a trial: noted by the researcher that takes them, read from the trial's record.

A step is followed, not left out: it *reached* the text with those of its answers that a changed paragraph goes back to,
or, where its work is to take edits out, with the edits that it took out. That is less than a test: what a text would
have become without a step only a fork without it can show. A step that was inserted says nothing that a paragraph
could go back to: it reached the text where leaving it out, in that very trial, gave another one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from bilevel.trial import NO_ANSWER, Count, Trial

STEPS = ("analysis", "hypotheses", "plan", "assessment", "revision")
NOTE = "steps"  # the key in a proposal's notes


@dataclass(frozen=True)
class StepCount:
    """How often a step was asked for (`asked`) and sent back by its gate, and how often that ended the pass (`failed`);
    how many things it `said`, how many of them `reached` the text; in how many trials any did (`decisive`). `untested`:
    what an inserted step said in trials in which nobody left it out."""

    asked: int = 0
    sent_back: int = 0
    said: int = 0
    reached: int = 0
    decisive: int = 0
    failed: int = 0
    untested: int = 0

    @property
    def inert(self) -> bool:
        """Whether it said something, and nothing of that reached a text."""
        return self.said > self.untested and not self.decisive

    def __add__(self, other: "StepCount") -> "StepCount":
        return StepCount(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


Steps = Mapping[str, StepCount]
NOTED = 6  # counts of a step that its researcher notes; the rest is known from the trial's record


def noted(counts: Steps) -> dict[str, list[int]]:
    """The counts of a pass as they are written into the notes of its proposal."""
    return {step: [*astuple(count)][:NOTED] for step, count in counts.items()}


def steps_of(trial: Trial) -> dict[str, StepCount]:
    """What the steps did in a trial, in their order: in the pass that gave its text, or the last one that gave none.
    Empty where its researcher takes no steps."""
    noted = {step: StepCount(*numbers) for step, numbers in _numbers(trial.proposal.notes.get(NOTE)).items()}
    return _in_order({step: count if step in STEPS else _left_out(step, count, trial) for step, count in noted.items()})


def _left_out(step: str, count: StepCount, trial: Trial) -> StepCount:
    """The count of an inserted step, with what leaving it out showed in the trial."""
    name = step if ":" in step else f"workflow:{step}"  # a step as code is noted by its name in force
    if not any(shadow.mechanism == name and shadow.how != NO_ANSWER for shadow in trial.shadows):
        return replace(count, untested=count.said)
    decisive = bool(trial.ledger.get(name, {}).get("advise", Count()).decisive)
    return replace(count, reached=count.said * decisive, decisive=int(decisive))


def _in_order(steps: dict[str, StepCount]) -> dict[str, StepCount]:
    order = {step: place for place, step in enumerate(STEPS)}
    return dict(sorted(steps.items(), key=lambda item: order.get(item[0], len(order))))


def steps_in(trials: Iterable[Trial]) -> dict[str, StepCount]:
    """The sum over trials, in the order in which the steps are taken."""
    total: dict[str, StepCount] = {}
    for trial in trials:
        for step, count in steps_of(trial).items():
            total[step] = total.get(step, StepCount()) + count
    return _in_order(total)


def _numbers(note: Any) -> dict[str, tuple[int, ...]]:
    """The note, as far as it is one: notes are a guest's words."""
    if not isinstance(note, Mapping):
        return {}
    rows = {step: tuple(row) for step, row in note.items() if isinstance(row, list | tuple) and len(row) == NOTED}
    return {str(step): row for step, row in rows.items() if all(type(n) is int and n >= 0 for n in row)}
