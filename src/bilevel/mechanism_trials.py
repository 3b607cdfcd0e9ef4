"""The trials of mechanisms at level 2 and above, as a report shows each: source, ladder, ledger, gain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bilevel.budget import Cost
from bilevel.calls import CallSummary
from bilevel.evidence import Verdict
from bilevel.shadow import AGAIN, WITHOUT, Tally, advice_of, aside_of
from bilevel.standings import attempts, is_ablation, rank_of, verdict_in
from bilevel.trial import Climb, Count, Trial


@dataclass(frozen=True)
class AsideCost:
    """What models were asked on the side, to see whether advice matters; part of the levels' costs.

    `unpriced`: so many of the calls have no known price and are not in `money`, US dollars.
    """

    calls: int = 0
    tokens: int = 0
    money: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True)
class AdviceLedger:
    """How often drafts differed without a mechanism's advice, and where the same text was asked again.

    `chance` is that of such a difference, or a greater one, if the advice has no effect; `live`: small enough (see
    `shadow`).
    """

    without: Tally
    again: Tally
    chance: float
    live: bool
    cost: AsideCost


@dataclass(frozen=True)
class MechanismTrial:
    """One trial of a level that searches mechanisms: its source, ledger, gain over its control, and what was decided.

    `level` names that level: "mechanisms" is level 2, "mechanisms-3" level 3 (`rank`).
    `change` is add, replace or remove; "leave out" where probation took one away that is in force. `climbs`: the rungs
    of the one that ran; `refused`: for each draft before it, and for all where none `ran`, the rung that it failed.
    `verdict` over all forks so far, `said` in a sentence. `gains`: over each control; `again`: by how much the same
    loop differed with other random numbers. `isolation`: of this trial.
    """

    trial: int
    change: str
    name: str
    why: str
    author: str
    source: str
    ledger: Mapping[str, Mapping[str, int]]
    gain: float | None
    challenger_best: float | None
    control_best: float | None
    pairs: int
    kept: bool
    reason: str
    calls: int = 0  # to language models, to write it
    tokens: int = 0
    money: float | None = None
    own_calls: int = 0  # that it asked for itself while it was tried, first on this trial's branches
    own_tokens: int = 0
    advice: AdviceLedger | None = None
    branch: str = "root"
    ran: bool = True
    climbs: tuple[Climb, ...] = ()
    refused: tuple[Climb, ...] = ()
    verdict: Verdict | None = None
    said: str = ""
    gains: Mapping[str, float] = field(default_factory=dict)
    again: tuple[float, ...] = ()
    isolation: str = ""
    level: str = "mechanisms"

    @property
    def rank(self) -> int:
        """The number by which the level is known."""
        return rank_of(self.level)


def advice_ledger(
    name: str, shadowed: Sequence[tuple[str, Trial]], calls: Sequence[CallSummary]
) -> AdviceLedger | None:
    """What asking on the side says of one mechanism's advice; None where nobody asked."""
    found = advice_of(name, [trial.shadows for _, trial in shadowed])
    if found is None:
        return None
    own = {(b, trial.number) for b, trial in shadowed if any(s.mechanism == name for s in trial.shadows)}
    kinds = (AGAIN, f"{WITHOUT} {name}")
    cost = aside_cost([c for c in calls if (c.branch, c.trial) in own and aside_of(c.purpose) in kinds])
    return AdviceLedger(found.without, found.again, found.chance, found.live, cost)


def aside_cost(calls: Sequence[CallSummary]) -> AsideCost:
    """What these calls cost together."""
    cost = sum((call.cost for call in calls), Cost())
    return AsideCost(len(calls), cost.tokens, cost.money, sum(call.money is None for call in calls))


def mechanism_trial(
    level: str, branch: str, trial: Trial, calls: Sequence[CallSummary], shadowed: Sequence[tuple[str, Trial]]
) -> MechanismTrial:
    """One trial of a mechanism as a report shows it; `shadowed` are all trials that asked on the side, by branch."""
    changed = trial.candidate.files_changed_from(trial.parent)
    name = changed[0] if changed else ""
    place = (level, branch, trial.number)
    written = [call for call in calls if (call.level, call.branch, call.trial) == place]
    arms_of_it = f"{branch}/{trial.number}."
    own = [c for c in calls if c.purpose.startswith(f"mechanism {name}/") and c.branch.startswith(arms_of_it)]
    data = trial.runs[-1].data if trial.runs else {}
    arms = data.get("arms", {})
    hooks = {hook: Count(*numbers) for hook, numbers in data.get("ledger", {}).get(name, {}).items()}
    climbs, refused = _climbs(trial, name)
    verdict = verdict_in(climbs)
    return MechanismTrial(
        trial=trial.number,
        change="leave out" if is_ablation(trial) else _kind_of_change(name, trial),
        name=name,
        why=trial.proposal.why,
        author=trial.proposal.author,
        source=trial.candidate.files.get(name, trial.parent.files.get(name, "")),
        ledger=numbers_of(hooks),
        gain=trial.score,
        challenger_best=arms.get("challenger", {}).get("best"),
        control_best=arms.get("control", {}).get("best"),
        pairs=int("control" in arms),
        kept=trial.decision.keep,
        reason=trial.decision.reason,
        calls=len(written),
        tokens=sum(call.cost.tokens for call in written),
        money=None if any(call.money is None for call in written) else sum(call.cost.money for call in written),
        own_calls=len(own),
        own_tokens=sum(call.cost.tokens for call in own),
        advice=advice_ledger(name, [(b, t) for b, t in shadowed if b.startswith(arms_of_it)], calls),
        branch=branch,
        ran=bool(trial.runs),
        climbs=climbs,
        refused=refused,
        verdict=verdict,
        said="" if verdict is None else verdict.so_far,
        gains=data.get("gains", {}),
        again=tuple(data.get("again", ())),
        isolation=trial.isolation,
        level=level,
    )


def _climbs(trial: Trial, name: str) -> tuple[tuple[Climb, ...], tuple[Climb, ...]]:
    """The rungs of the mechanism that ran, and the rung that each other draft of the trial failed."""
    tried = attempts(trial.climbs)
    ran = [one for one in tried if trial.runs and one.mechanism == name and not one.failed]
    failed = tuple(one.failed for one in tried if one.failed)
    return ran[-1].climbs if ran else (), failed


def _kind_of_change(name: str, trial: Trial) -> str:
    if not name:
        return "nothing proposed"
    if name not in trial.parent.files:
        return "add"
    return "replace" if name in trial.candidate.files else "remove"


def numbers_of(hooks: Mapping[str, Count]) -> dict[str, dict[str, int]]:
    """A ledger as plain numbers."""
    return {
        hook: {"calls": c.calls, "touched": c.touched, "decisive": c.decisive, "faults": c.faults}
        for hook, c in hooks.items()
    }
