"""What a run of an outer loop is reported as: the gain of its challenger, and what there is to say against it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bilevel.arms import Arm, Control, numbers_of
from bilevel.budget import Cost
from bilevel.codec import plain
from bilevel.objective import Objective
from bilevel.shadow import Advice, advice_of
from bilevel.surfaces import Test
from bilevel.trial import Run, Status


@dataclass(frozen=True)
class Asked:
    """What a fork is to find out: of which mechanisms, by which objective.

    `credited`: mechanisms that must prove that they changed a decision. `tests`: those on which the fork is evidence.
    `simpler`: the challenger has fewer texts than its parent.
    """

    objective: Objective
    credited: tuple[str, ...]
    tests: tuple[Test, ...]
    simpler: bool


def report_of(
    asked: Asked, challenger: Arm, control: Arm | None = None, others: Mapping[Control, Arm] | None = None
) -> Run:
    """The run of a trial of an outer loop, from its arms. Without a control the gain is over the cycle's start."""
    others, objective = others or {}, asked.objective
    unchanged = [*([control] if control else []), *others.values()]
    arms = [challenger, *unchanged]
    cost = sum((arm.cost for arm in arms), Cost())
    if challenger.best.score is None:
        return Run("cycle", 0, Status.INVALID_METRIC, cost=cost, log="no trial of the inner loop has a score",
                   state=challenger.branch)  # fmt: skip
    rivals = [arm for arm in unchanged if arm.name not in [one.name for one in others if one.guest is None]]
    gains = {arm.name: arm.best.gain(objective, challenger.best) for arm in rivals}
    if gains and any(test.sign < 0 for test in asked.tests):  # it is the loop with the mechanism that it is set against
        gain = gains["control"]
    else:
        gain = min(gains.values()) if gains else challenger.before.gain(objective, challenger.best)
    ends = sorted(unchanged, key=lambda arm: -challenger.best.gain(objective, arm.best))
    better = ends[0] if ends and ends[0].best.gain(objective, challenger.best) <= 0 else challenger
    again = [control.best.gain(objective, arm.best) for one, arm in others.items() if control and not one.guest]
    spreads = [challenger.spread(control, objective)] if control else []
    data: dict[str, object] = {
        "arms": {arm.name: arm.summary(asked.credited) for arm in arms},
        "margin": challenger.margin,
        "control": control is not None,
        "tests": [plain(test) for test in asked.tests],
        "spread": max([*spreads, *map(abs, again)], default=0.0),
        "gains": gains,
        "again": again,
        "simpler": asked.simpler,
        "ledger": {name: numbers_of(hooks) for name, hooks in challenger.ledger.items()},
    }
    inert, unshown = _inert(challenger, asked.credited), _unshown(challenger, asked.credited)
    if inert:
        data["inert"] = inert
        data["discredit"] = f"inert: {', '.join(inert)} changed no decision, so no gain is credited"
    elif unshown:
        said = "; ".join(f"the advice of {name}: {advice}" for name, advice in unshown.items())
        data["discredit"] = f"not shown yet to matter, so no gain is credited: {said}"
    metrics = {"gain": gain, "best": challenger.best.score}
    return Run("cycle", 0, Status.OK, metrics, cost, data=data, state=better.branch)


def _inert(arm: Arm, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not _decided(arm, name) and _uncompared(arm, name) is None]


def _unshown(arm: Arm, names: tuple[str, ...]) -> dict[str, Advice]:
    """The mechanisms that did no more than advise a researcher that costs something, whose drafts differed without
    the advice no more often than when it was asked again; or where no ask on the side could be used."""
    found = {name: arm.advice_alone(name) if _decided(arm, name) else _uncompared(arm, name) for name in names}
    return {name: advice for name, advice in found.items() if advice is not None and not advice.live}


def _decided(arm: Arm, name: str) -> bool:
    return any(count.decisive for count in arm.ledger.get(name, {}).values())


def _uncompared(arm: Arm, name: str) -> Advice | None:
    """What was asked on the side about advice, where none of it could be compared: then nobody knows whether it did
    something (a prompt, say, after which no answer is one)."""
    found = advice_of(name, arm.shadows)
    return found if found is not None and not found.without.asks else None
