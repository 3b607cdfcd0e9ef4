"""What one arm of a fork did, and what of it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bilevel.budget import Cost
from bilevel.evidence import spread
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.objective import Objective
from bilevel.rules import mean
from bilevel.shadow import Advice, advice_of
from bilevel.trial import Count, Shadow, Trial, merge


@dataclass(frozen=True)
class Best:
    """The best candidate of a search: its score, the mean over all seeds that it was run on, and its score on each.

    `by_seed` is empty in searches from before there were keep rules, and `score` None where there is none.
    """

    score: float | None = None
    by_seed: Mapping[int, float] = field(default_factory=dict)

    def gain(self, objective: Objective, new: "Best") -> float:
        """How much better `new` is, on the seeds that both have: so nothing is gained by being run on more of them.
        By the scores where they have none in common; 0 where one of the two has no score."""
        if self.score is None or new.score is None:
            return 0.0
        shared = sorted(self.by_seed.keys() & new.by_seed.keys())
        if not shared:
            return objective.gain(self.score, new.score)
        return mean([objective.gain(self.by_seed[seed], new.by_seed[seed]) for seed in shared])


@dataclass(frozen=True)
class Arm:
    """What one arm of a run did: its branch, the innermost best before and after, its cost, ledger, innermost
    trials, and what was asked on the side at all its levels."""

    name: str
    branch: str
    before: Best
    best: Best
    margin: float
    cost: Cost
    ledger: Mapping[str, Mapping[str, Count]]
    trials: tuple[Trial, ...]
    shadows: tuple[tuple[Shadow, ...], ...] = ()

    def advice_alone(self, name: str) -> Advice | None:
        """What was asked on the side about a mechanism that changed decisions by its advice only; None for others."""
        decisive = [hook for hook, count in self.ledger.get(name, {}).items() if count.decisive]
        return advice_of(name, self.shadows) if decisive == ["advise"] else None

    def spread(self, control: "Arm", objective: Objective) -> float:
        """How far apart the bests of two arms come by chance alone; see `evidence.spread`."""
        mine, other = ([trial.score if trial.contends else None for trial in arm.trials] for arm in (self, control))
        return spread(objective, self.before.score, mine, other)

    def summary(self, credited: tuple[str, ...]) -> dict[str, object]:
        """What is stored of it; trial by trial where mechanisms must prove that they mattered."""
        return {
            "trials": [_signals(trial, credited) for trial in self.trials] if credited else [],
            "branch": self.branch,
            "before": self.before.score,
            "best": self.best.score,
            "evaluations": self.cost.evaluations,
            "seconds": self.cost.seconds,
        }


@dataclass(frozen=True)
class Control:
    """One more arm of a fork: the unchanged loop but for a guest that joins the innermost one, or, without a guest, but
    for its random numbers: the A/A arm, which shows what chance alone does.

    A guest stands for what an injection brings with it whatever is injected (a restart, or nothing at all): the
    challenger must beat that too.
    """

    name: str
    guest: Guest | None = None

    def applied(self, spec: LoopSpec) -> LoopSpec:
        """The innermost loop as this arm runs it."""
        if self.guest is None:
            return replace(spec, stream=self.name)
        others = tuple(guest for guest in spec.mechanisms if guest.name != self.guest.name)
        return replace(spec, mechanisms=(*others, self.guest))


def ledger_of(trial: Trial) -> Mapping[str, Mapping[str, Count]]:
    """A trial's own ledger and those of the loops that ran within it."""
    deeper = [
        {name: {hook: Count(*numbers) for hook, numbers in hooks.items()} for name, hooks in run.data["ledger"].items()}
        for run in trial.runs
        if "ledger" in run.data
    ]
    return merge(trial.ledger, *deeper)


def _signals(trial: Trial, credited: tuple[str, ...]) -> dict[str, object]:
    """What a trial was and what the credited mechanisms did in it: process signals only."""
    return {
        "number": trial.number,
        "author": trial.proposal.author[:60],
        "candidate": trial.candidate.id,
        "changes": {name: [change.old, change.new] for name, change in trial.changes.items()},
        "score": trial.score,
        "keep": trial.decision.keep,
        "ledger": {name: numbers_of(trial.ledger[name]) for name in credited if name in trial.ledger},
    }


def numbers_of(hooks: Mapping[str, Count]) -> dict[str, list[int]]:
    """A mechanism's ledger as it is stored with a run."""
    return {hook: [c.calls, c.touched, c.decisive, c.faults] for hook, c in hooks.items()}
