"""How long a run will be: the measurements that it will make, by its recipe and by what persons said of its budget."""

from bilevel.acts import REFUSED, UNSTEERED, Act, Steering
from bilevel.description import budget_of
from bilevel.levels import LoopTask, leaf
from bilevel.loop import LoopSpec
from bilevel.store.reader import Reader


def given(store: Reader) -> list[Act]:
    """The acts of a run that were not refused, taken up or not."""
    refused = {effect.act for effect in store.effects() if effect.outcome == REFUSED}
    return [act for act in store.acts() if act.number not in refused]


def steering_of(store: Reader, level: str) -> Steering:
    """What is in force on a loop once it has taken up all that was given."""
    return Steering().after(act for act in given(store) if level in act.levels)


def planned_evaluations(spec: LoopSpec, steering: Steering = UNSTEERED) -> int | None:
    """How many measurements a run will make, its calibration among them; None where nobody says.

    At most so many, if its budget is one of measurements or its keep rule repeats nothing; else without the repeats.
    `steering`: what persons said to the outermost loop.
    """
    budget, task = budget_of(spec, steering), spec.task
    calibration = leaf(spec).calibration
    total = None
    if budget.trials is not None:
        first = task.trials * task.inner.task.evaluations if isinstance(task, LoopTask) else 0
        total = calibration + first + budget.trials * task.evaluations
    limit = budget.evaluations
    return min(x for x in (total, limit) if x is not None) if total or limit else None


def planned_now(store: Reader, spec: LoopSpec) -> int | None:
    """The same of a run as it stands, with the budget that persons put in place of the recipe's."""
    return planned_evaluations(spec, steering_of(store, spec.name))
