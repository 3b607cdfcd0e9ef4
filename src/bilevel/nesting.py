"""Making nestings: one more level above a loop, and a mechanism of one level put in force on another."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from bilevel.arms import Control
from bilevel.budget import Budget
from bilevel.carrying import CODE, Carrying, carrier_of, no_place_for
from bilevel.errors import InputError
from bilevel.levels import LoopTask, levels_of
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.researcher import Researcher
from bilevel.space import Derived
from bilevel.surfaces import Surface


def nest(
    inner: LoopSpec,
    surface: Surface,
    researcher: Researcher,
    *,
    name: str,
    trials: int,
    cycles: int,
    start: Literal["fork", "continue"] = "fork",
    ladder: Collection[str] = ("door",),
    controls: Sequence[Control] = (),
    wipe: bool = False,
    stuck_after: int = 0,
    stuck_share: float = 0.0,
) -> LoopSpec:
    """One more level: a loop that searches `inner` through `surface`.

    `trials`: trials of the inner loop per run and arm; `cycles`: runs of this loop, its baseline among them. Only the
    outermost level may fork. `ladder`: the rungs before a mechanism's live trial. `controls`: further
    arms of a fork. `wipe`: each run begins anew. `stuck_after`: how long the loop must have been without improvement
    before the first fork; `stuck_share`: and for which share of its trials.
    """
    below = [loop.task for loop in levels_of(inner)]
    if start == "fork" and any(isinstance(task, LoopTask) and task.start == "fork" for task in below):
        raise InputError("only the outermost level may fork; nest the inner one with start='continue'")
    if wipe and (below != [inner.task] or isinstance(inner.task, LoopTask)):
        raise InputError("wipe: only a level right above the innermost loop can begin anew")
    if wipe and stuck_after:
        raise InputError("wipe and stuck_after: a cycle that begins anew waits for nothing; leave one of them out")
    if stuck_after and (start != "fork" or isinstance(inner.task, LoopTask)):
        raise InputError("stuck_after: only a level with start='fork', right above the innermost loop, can wait for it")
    if stuck_share and not stuck_after:
        raise InputError("stuck_share: nothing reads it without stuck_after; give both, or leave it out")
    alone = replace(inner, budget=Budget())
    task = LoopTask(alone, surface, trials, start, frozenset(ladder), tuple(controls), wipe, stuck_after, stuck_share)
    return LoopSpec(
        name,
        task,
        researcher,
        budget=Budget(trials=cycles - 1),
        seed=inner.seed,
        calibration=1,
        noise=None,
        keep=inner.keep,
    )


def lift(guest: Guest, spec: LoopSpec) -> LoopSpec:
    """The loop with a mechanism found one level below put in force. Raises InputError where it cannot work there."""
    if guest.name in [other.name for other in spec.mechanisms]:
        raise InputError(f"a mechanism {guest.name!r} is in force on {spec.name!r} already; give this one another name")
    problem = no_place_for(spec.researcher, guest.name)
    if carrier_of(guest.name) == CODE:
        problem = unfit(spec, spec.load(guest).needs, guest.name)
    elif problem is None and isinstance(spec.researcher, Carrying):
        problem = spec.researcher.refusal(guest, spec.task.space)
        problem = problem and f"mechanism {guest.name!r} cannot be put in force: {problem}"
    if problem is not None:
        raise InputError(problem)
    return replace(spec, mechanisms=(*spec.mechanisms, guest))


def unfit(spec: LoopSpec, needs: Collection[str], name: str) -> str | None:
    """Why a mechanism with these needs cannot work on a loop, or None."""
    derived = all(isinstance(domain, Derived) for domain in spec.task.space.domains.values())
    if "numeric" in needs and derived:
        return (
            f"mechanism {name!r} constructs candidates and cannot be lifted to {spec.name!r}, where "
            "parameters are derived; mechanisms that select, advise, constrain, filter or decide can"
        )
    if "advice" in needs and not spec.researcher.reads_advice:
        return f"mechanism {name!r} gives advice, which {spec.researcher.name!r} does not read"
    return None
