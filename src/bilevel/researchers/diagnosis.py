"""What is wrong with a search, in numbers read from its trace. Rules, no model; the outer researchers act on it."""

import statistics
from collections import Counter
from dataclasses import dataclass

from bilevel.space import Space, Value
from bilevel.trace import Trace
from bilevel.trial import Status, Trial

CRASHES = (
    Status.EXIT, Status.TIME_OUT, Status.OUT_OF_MEMORY, Status.OUTPUT_LIMIT, Status.INVALID_METRIC, Status.DIVERGED,
)  # fmt: skip
SCALES = (0.02, 0.05, 0.1, 0.2)  # shares of a parameter's range


@dataclass(frozen=True)
class Diagnosis:
    """The state of a search over its last `trials` trials; shares are between 0 and 1.

    `repetition`: proposals, turned back ones included, that repeat an earlier one. `refused`: trials that ran nothing.
    `turned_back`: drafts turned back per trial. `plateau`: trials since the incumbent was set. `favourite`: the
    parameter changed most often, and the share of trials that changed it. `one_sided`: how often numbers were moved in
    their more frequent direction. `crashed`: trials that crashed; `culprits`: (parameter, value) in two crashes or more
    and in no trial that ran. `noise`: sd between seeds; `spread`: sd of the scores. `step`: the median step of a
    discarded change. `away`: whether the search stands elsewhere than on its incumbent.
    """

    trials: int = 0
    repetition: float = 0.0
    refused: float = 0.0
    turned_back: float = 0.0
    plateau: int = 0
    favourite: str = ""
    favourite_share: float = 0.0
    one_sided: float = 0.0
    crashed: float = 0.0
    culprits: tuple[tuple[str, Value], ...] = ()
    noise: float = 0.0
    spread: float = 0.0
    step: float = 0.0
    away: bool = False

    def ailments(self) -> list[tuple[str, str]]:
        """What is wrong, the worst first: a word, and the sentence with its numbers. Never empty."""
        found: list[tuple[float, str, str]] = []

        def add(severity: float, word: str, sentence: str) -> None:
            if severity >= 1:
                found.append((severity, word, sentence))

        add(self.repetition / 0.3, "repetition", f"{self.repetition:.0%} of the proposals repeat an earlier one")
        add(self.refused / 0.15, "refusals", f"{self.refused:.0%} of the trials ran nothing, all drafts turned back")
        add(self.crashed / 0.2, "crashes", f"{self.crashed:.0%} of the trials crashed{self._because()}")
        add(self.plateau / 8, "plateau", f"{self.plateau} trials without an improvement")
        add(
            self.favourite_share / 0.5 if self.trials >= 4 else 0.0,
            "fixation",
            f"{self.favourite_share:.0%} of the trials changed {self.favourite}",
        )
        add(
            self.one_sided / 0.85 if self.trials >= 6 else 0.0,
            "one direction",
            f"numbers were moved the same way in {self.one_sided:.0%} of their changes",
        )
        add(1.2 if self.away and self.plateau >= 4 else 0.0, "astray", "the search stands away from its incumbent")
        if self.noise and self.spread < 2 * self.noise and self.trials >= 6:
            sentence = f"scores differ by {self.spread:.3g} (sd), seeds alone by {self.noise:.3g}"
            add(1.1, "noise", sentence)
        ordered = [(word, sentence) for _, word, sentence in sorted(found, key=lambda item: -item[0])]
        return ordered or [("none", f"nothing conspicuous in {self.trials} trials")]

    def _because(self) -> str:
        return f" (always with {', '.join(f'{n} = {v!r}' for n, v in self.culprits[:3])})" if self.culprits else ""


def diagnose(trace: Trace, space: Space, window: int = 40) -> Diagnosis:
    """The diagnosis of the last `window` trials of a search, the baseline not counted."""
    trials = [trial for trial in trace[-window:] if trial.number > 0]
    if not trials:
        return Diagnosis()
    best, current = trace.incumbent, trace.current
    scores = [trial.score for trial in trials if trial.score is not None]
    favourite, share = _favourite(trials)
    return Diagnosis(
        trials=len(trials),
        repetition=_repetition(trials),
        refused=sum(trial.status is Status.REFUSED for trial in trials) / len(trials),
        turned_back=sum(len(trial.turned_back) for trial in trials) / len(trials),
        plateau=trace.since_improvement(),
        favourite=favourite,
        favourite_share=share,
        one_sided=_one_sided(trials),
        crashed=sum(trial.status in CRASHES for trial in trials) / len(trials),
        culprits=_culprits(trials),
        noise=trace.noise.sd,
        spread=statistics.stdev(scores) if len(scores) > 1 else 0.0,
        step=_step(trials, space),
        away=best is not None and current is not None and best.candidate.id != current.id,
    )


def _repetition(trials: list[Trial]) -> float:
    """The share of proposals whose candidate was proposed before, or whose very changes were."""
    seen: set[object] = {trials[0].parent.id}
    repeated = total = 0
    for trial in trials:
        changes = tuple((name, change.old, change.new) for name, change in trial.changes.items())
        drafts: list[object] = [back.candidate for back in trial.turned_back]
        repeated += sum(draft in seen for draft in drafts)
        seen.update(drafts)
        if trial.status is not Status.REFUSED:  # a refused trial's draft is among those turned back
            drafts.append(trial.candidate.id)
            repeated += trial.candidate.id in seen or (bool(changes) and changes in seen)
            seen |= {trial.candidate.id, changes}
        total += len(drafts)
    return repeated / total if total else 0.0


def _favourite(trials: list[Trial]) -> tuple[str, float]:
    counts = Counter(name for trial in trials for name in trial.changes)
    if not counts:
        return "", 0.0
    name = max(sorted(counts), key=lambda key: counts[key])
    return name, counts[name] / len(trials)


def _one_sided(trials: list[Trial]) -> float:
    up = down = 0
    for trial in trials:
        for change in trial.changes.values():
            if not isinstance(change.new, int | float) or not isinstance(change.old, int | float):
                continue
            if isinstance(change.new, bool):
                continue
            up, down = up + (change.new > change.old), down + (change.new < change.old)
    return max(up, down) / (up + down) if up + down else 0.0


def _culprits(trials: list[Trial]) -> tuple[tuple[str, Value], ...]:
    fine = {item for t in trials if t.status is Status.OK for item in t.candidate.params.items()}
    blamed = Counter(
        (name, change.new)
        for trial in trials
        if trial.status in CRASHES
        for name, change in trial.changes.items()
        if (name, change.new) not in fine
    )
    return tuple(item for item, count in blamed.most_common() if count >= 2)


def _step(trials: list[Trial], space: Space) -> float:
    steps = [
        space.step(name, change.old, change.new)
        for trial in trials
        if not trial.decision.keep
        for name, change in trial.changes.items()
        if name in space.domains and isinstance(change.new, int | float) and not isinstance(change.new, bool)
    ]
    return statistics.median(steps) if steps else 0.0
