"""What the steps of a workflow did in a trial: noted by the researcher that takes them, read from the trial's record.

A step is followed, not left out: it *reached* the text with those of its answers that a changed paragraph goes back to,
or, where its work is to take edits out, with the edits that it took out. That is less than a test: what a text would
have become without a step only a fork without it can show.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from bilevel.trial import Trial

STEPS = ("analysis", "hypotheses", "plan", "assessment", "revision")
NOTE = "steps"  # the key in a proposal's notes


@dataclass(frozen=True)
class StepCount:
    """How often a step was asked for (`asked`) and sent back by its gate, and how often that ended the pass (`failed`);
    how many things it `said`, how many of them `reached` the text; in how many trials any did (`decisive`)."""

    asked: int = 0
    sent_back: int = 0
    said: int = 0
    reached: int = 0
    decisive: int = 0
    failed: int = 0

    def __add__(self, other: "StepCount") -> "StepCount":
        return StepCount(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


Steps = Mapping[str, StepCount]


def noted(counts: Steps) -> dict[str, list[int]]:
    """The counts of a pass as they are written into the notes of its proposal."""
    return {step: [*astuple(count)] for step, count in counts.items()}


def steps_of(trial: Trial) -> dict[str, StepCount]:
    """What the steps did in a trial: in the pass that gave its text, or the last one that gave none. Empty where its
    researcher takes no steps."""
    return {step: StepCount(*numbers) for step, numbers in _numbers(trial.proposal.notes.get(NOTE)).items()}


def steps_in(trials: Iterable[Trial]) -> dict[str, StepCount]:
    """The sum over trials, in the order in which the steps are taken."""
    total: dict[str, StepCount] = {}
    for trial in trials:
        for step, count in steps_of(trial).items():
            total[step] = total.get(step, StepCount()) + count
    order = {step: place for place, step in enumerate(STEPS)}
    return dict(sorted(total.items(), key=lambda item: order.get(item[0], len(order))))


def _numbers(note: Any) -> dict[str, tuple[int, ...]]:
    """The note, as far as it is one: notes are a guest's words."""
    if not isinstance(note, Mapping):
        return {}
    width = len(astuple(StepCount()))
    rows = {step: tuple(row) for step, row in note.items() if isinstance(row, list | tuple) and len(row) == width}
    return {str(step): row for step, row in rows.items() if all(type(n) is int and n >= 0 for n in row)}
