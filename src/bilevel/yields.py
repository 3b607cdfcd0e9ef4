"""What a level that searches mechanisms is worth itself: which share of its candidates passes each rung and is kept,
and what was gained per token and per evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bilevel.budget import Cost
from bilevel.calls import CallSummary
from bilevel.climbing import FAILED
from bilevel.lab import Records
from bilevel.levels import LoopTask
from bilevel.loop import LoopSpec
from bilevel.standings import LIVE, attempts, is_ablation, mechanism_levels
from bilevel.trial import LADDER, Trial


@dataclass(frozen=True)
class Rung:
    """One rung: how many candidates climbed it, and how many of these passed, in the sense that nothing was found
    against them: on the live rung that they were not inert."""

    climbed: int = 0
    passed: int = 0


@dataclass(frozen=True)
class Yield:
    """A level that searches mechanisms, in numbers. A candidate is one source in one trial, drafts that were turned
    back among them.

    `gain`: the sum over those that were kept, in the innermost objective's unit; over a control where there is one
    (`control`), else over the cycle's start, which proves nothing. `per_token` and `per_evaluation` are None where none
    was spent.
    """

    level: str
    candidates: int
    kept: int
    rungs: Mapping[str, Rung]
    gain: float
    control: bool
    tokens: int
    evaluations: int
    lifted: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # name -> its gains over its unlifted twin

    @property
    def per_token(self) -> float | None:
        return self.gain / self.tokens if self.tokens else None

    @property
    def per_evaluation(self) -> float | None:
        return self.gain / self.evaluations if self.evaluations else None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The same in words."""
        rungs = ", ".join(f"{name} {rung.passed} of {rung.climbed}" for name, rung in self.rungs.items())
        share = f" ({self.kept / self.candidates:.0%})" if self.candidates else ""
        over = "over its controls" if self.control else "over the cycles' starts, without a control"
        each = [] if self.per_evaluation is None else [f"{self.per_evaluation:.3g} per evaluation"]
        each += [] if self.per_token is None else [f"{1000 * self.per_token:.3g} per 1,000 tokens"]
        return (
            f"{self.candidates} candidates; passed: {rungs or 'none climbed'}; kept {self.kept}{share}",
            f"gain of those kept {self.gain:+.4g} {over}" + (f"; {', '.join(each)}" if each else ""),
        )


def yields_of(records: Records, spec: LoopSpec, calls: Sequence[CallSummary]) -> tuple[Yield, ...]:
    """Each level of a nesting that searches mechanisms, the lowest first."""
    return tuple(
        _yield(records, loop, loop.task, calls) for loop in mechanism_levels(spec) if isinstance(loop.task, LoopTask)
    )


def _yield(records: Records, loop: LoopSpec, task: LoopTask, calls: Sequence[CallSummary]) -> Yield:
    trials = [t for b in records.branches() if b.level == loop.name for t in records.trials(b.id) if t.number > 0]
    searched = [trial for trial in trials if not is_ablation(trial)]
    tried = [one for trial in searched for one in attempts(trial.climbs)]
    kept = [t for t in searched if t.decision.keep and t.candidate.files_changed_from(t.parent)]
    own = [call for call in calls if call.level == loop.name]
    return Yield(
        level=loop.name,
        candidates=len(tried),
        kept=len(kept),
        rungs={
            rung: Rung(len(found), sum(outcome not in FAILED for outcome in found))
            for rung in LADDER
            if (found := [c.outcome for one in tried for c in one.climbs if c.rung == rung and c.outcome != "off"])
        },
        gain=sum(trial.score or 0.0 for trial in kept),
        control=task.start == "fork",
        tokens=sum((call.cost for call in own), Cost()).tokens,
        evaluations=sum(trial.cost.evaluations for trial in trials),
        lifted=dict(_lifted(searched)),
    )


def _lifted(trials: Sequence[Trial]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The gains of each lifted mechanism over its unlifted twin, without the forks in which it was inert."""
    gains: dict[str, list[float]] = {}
    for trial in trials:
        name = str(trial.proposal.notes.get("lifted", ""))
        live = [climb for climb in trial.climbs if climb.rung in LIVE and climb.evidence.get("control")]
        if name and live and trial.score is not None:
            gains.setdefault(name, [])
            gains[name] += [] if live[-1].outcome == "inert" else [trial.score]
    yield from ((name, tuple(found)) for name, found in gains.items())
