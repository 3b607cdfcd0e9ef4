"""Where a loop asks persons, or hears them: before a mechanism is tried, and before a candidate is kept."""

from dataclasses import dataclass, replace

from bilevel.acts import Act
from bilevel.lab import Question, Steers
from bilevel.space import Candidate
from bilevel.task import STEERED, Steerable, Task, steered
from bilevel.trace import Trace
from bilevel.trial import Decision, Trial


@dataclass(frozen=True)
class Place:
    """A trial of a loop: its level, branch and number."""

    level: str
    branch: str
    number: int


def admitted(
    task: Task, persons: Steers, place: Place, candidate: Candidate, parent: Candidate
) -> tuple[str, Act | None]:
    """Why a person will not have the mechanisms of a candidate tried (empty: they may be), and the act that said so."""
    names = task.news(candidate, parent) if isinstance(task, Steerable) else ()
    if not names:
        return "", None
    said = f"mechanism {', '.join(map(repr, names))} is to be tried on level {place.level!r}"
    act = persons.answer(Question("mechanism", place.branch, place.number, said))
    return ("" if act is None else refusal_of(act)), act


def heard(task: Task, persons: Steers, place: Place, trial: Trial, before: Trace) -> Trial:
    """A trial that is decided, with what persons have to say of it: it may be that it is not kept."""
    steering = before.steered(trial.acts).steering
    if isinstance(task, Steerable):
        late = persons.late(place.level, place.branch, place.number, steering.taken)
        trial = replace(trial, late=late)
        trial = replace(trial, decision=steered(task, trial, steering.after(late)))
    if trial.decision.keep:
        said = f"trial {trial.number} of level {place.level!r} is to be kept: {trial.decision.reason}"
        act = persons.answer(Question("keep", place.branch, place.number, said))
        trial = trial if act is None else replace(trial, late=(*trial.late, act))
    return replace(trial, decision=gated(trial))


def gated(trial: Trial) -> Decision:
    """The decision on a trial, once the answer at the gate is known."""
    answer = next((act for act in trial.late if act.kind == "reject"), None)
    if answer is None or not trial.decision.keep:
        return trial.decision
    return Decision(False, STEERED + refusal_of(answer))


def refusal_of(act: Act) -> str:
    """The answer of a person as a reason; empty where it is yes."""
    if act.kind != "reject":
        return ""
    return f"rejected by {act.author}{f': {act.text}' if act.text else ''}"
