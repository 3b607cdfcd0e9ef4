"""What forks say about a mechanism: helped, hurt or undecided; and, where it can be claimed, confirmed.

One fork is evidence, never proof. The rule below is made for a night's worth of them:

- A fork gives a gain (challenger's best over the control's best) and the gain's *spread*: its standard deviation if the
  trials of both arms had been dealt to the arms at random, as they would be for a mechanism that does nothing.
- That is right where the trials of an arm have nothing to do with each other. A search that goes on from what it found
  brings them in clusters, and a mechanism can make it do so: then all of one arm lie before all of the other by one
  lucky find, and their spread says nothing of it. What does is how large the gains of all forks are: no fork is taken
  for less uncertain than their root mean square. So no single fork decides, it takes four that agree.
- The effect is given a normal prior around 0, as wide as one fork is uncertain (one fork's worth of doubt); each gain
  is taken as normal around the effect with its own uncertainty.
- `helped`: the posterior probability of a positive effect is at least 0.95. `hurt`: at most 0.05. Else `undecided`.
- `confirmed` is another matter: an e-value of at least 20. If gains of a useless mechanism fall on either side with
  equal chance, it is ever confirmed with a probability of at most 1/20, however often one looks. That is of one
  mechanism alone; of all that were tested in a run, those are confirmed that e-BH lets through (`together`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from bilevel.eprocess import CONFIRMED, capital, e_bh
from bilevel.objective import Objective
from bilevel.trial import Trial

SURE = 0.95  # posterior probability from which on a mechanism is said to have helped
STAKE = 0.6  # the share of the capital that is bet on the next fork


@dataclass(frozen=True)
class Fork:
    """One paired trial of a mechanism: the gain over its control, and the gain's standard deviation by chance alone,
    both in the innermost objective's unit; positive is better with the mechanism."""

    gain: float
    spread: float


@dataclass(frozen=True)
class Verdict:
    """What all forks of a mechanism say together.

    `forks`: how many of them told anything (in the others both arms came to the same best). `effect` is the posterior
    mean, `low` and `high` bound its central 90 %; `probability`: that the effect is positive. `e_value` is the evidence
    against "it does not help", for `confirmed`. `tested`: beside how many others, where it is judged with them, and
    `stands` whether it is confirmed then.
    """

    word: str = "undecided"  # helped, hurt or undecided
    forks: int = 0
    effect: float = 0.0
    low: float = 0.0
    high: float = 0.0
    probability: float = 0.5
    e_value: float = 1.0
    tested: int = field(default=0, metadata={"later": True})
    stands: bool = field(default=False, metadata={"later": True})

    @property
    def confirmed(self) -> bool:
        return self.stands if self.tested else self.e_value >= CONFIRMED

    @property
    def sentence(self) -> str:
        """The verdict in words, with what it rests on."""
        if not self.forks:
            return "undecided: no fork told the arms apart"
        word = "confirmed" if self.confirmed else self.word
        beside = self.e_value >= CONFIRMED and not self.confirmed
        few = f", not enough beside {self.tested} other{'s' if self.tested > 1 else ''}" if beside else ""
        return self._with(word, few)

    @property
    def so_far(self) -> str:
        """The same of one mechanism by itself, after some of a run's forks: nothing is confirmed by that."""
        if self.forks and not self.tested and self.confirmed:
            return self._with(self.word, " by itself; whether that confirms it hangs on all others that are tested")
        return self.sentence

    def _with(self, word: str, few: str) -> str:
        return (
            f"{word} after {self.forks} fork{'s' if self.forks > 1 else ''}: effect {self.effect:+.4g} "
            f"[{self.low:+.4g}, {self.high:+.4g}], {self.probability:.0%} likely positive, "
            f"e-value {self.e_value:.2g}{few}"
        )


def together(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on all mechanisms that were tested in a run, those confirmed that e-BH lets through at 5 %."""
    chosen = e_bh([one.e_value for one in verdicts])
    return tuple(
        replace(one, tested=len(verdicts) - 1, stands=stands) for one, stands in zip(verdicts, chosen, strict=True)
    )


def beside(alone: Verdict, told: Verdict | None) -> Verdict:
    """A verdict on some of the forks of a mechanism, with what all of them are worth beside the others of the run."""
    if told is None:
        return alone
    return replace(alone, tested=told.tested, stands=told.confirmed and alone.e_value >= CONFIRMED)


def verdict(forks: Iterable[Fork]) -> Verdict:
    """The posterior after some forks, in any order; forks in which the arms came to the same best tell nothing."""
    told = [fork for fork in forks if fork.spread > 0]
    if not told:
        return Verdict()
    size = math.sqrt(sum(fork.gain**2 for fork in told) / len(told))
    doubts = [max(fork.spread, size) for fork in told]
    prior = len(told) / sum(doubt**2 for doubt in doubts)  # precision: one typical fork
    precision = prior + sum(doubt**-2 for doubt in doubts)
    mean = sum(fork.gain * doubt**-2 for fork, doubt in zip(told, doubts, strict=True)) / precision
    posterior = NormalDist(mean, precision**-0.5)
    probability = 1.0 - posterior.cdf(0.0)
    word = "helped" if probability >= SURE else "hurt" if probability <= 1.0 - SURE else "undecided"
    reach = posterior.stdev * NormalDist().inv_cdf(0.95)
    return Verdict(word, len(told), mean, mean - reach, mean + reach, probability, e_value(told))


def e_value(forks: Sequence[Fork]) -> float:
    """Evidence that the gains lean to the positive side: the capital of one who bets on each next sign.

    The bet is a share STAKE of the capital, scaled by how large the gain is against its spread (at most 1), which tells
    nothing of the sign where the mechanism is useless: so the expected capital never grows, and by Ville's inequality
    it ever reaches 20 with a probability of at most 1/20. Source of testing by betting: G. Shafer, "Testing by
    betting", Journal of the Royal Statistical Society A 184(2), 2021, doi:10.1111/rssa.12647.
    """
    return capital(
        math.copysign(STAKE * min(1.0, abs(fork.gain) / fork.spread), fork.gain)
        for fork in forks
        if fork.gain and fork.spread > 0
    )


def spread(
    objective: Objective, before: float | None, challenger: Sequence[float | None], control: Sequence[float | None]
) -> float:
    """The standard deviation of a fork's gain if the trials of both arms were dealt to the arms at random.

    `before` is the best score at the start of both, `challenger` and `control` the scores of their trials in any order
    (None: no score). Exact: of all ways to deal them out, summed by the rank of the other arm's best.
    """
    sizes, scored = (len(challenger), len(control)), [score for score in (*challenger, *control) if score is not None]
    if not scored or min(sizes) == 0:
        return 0.0
    start = before if before is not None else min(scored, key=lambda score: objective.gain(scored[0], score))
    gains = [objective.gain(start, score) for score in scored]
    reached = sorted((max(gain, 0.0) for gain in gains), reverse=True) + [0.0] * (sum(sizes) - len(scored))
    square = 0.0
    for size in sizes:  # the arm that gets the best trial of all
        for rank, other in enumerate(reached[1:], start=1):
            square += _chance(rank, size, sum(sizes)) * (reached[0] - other) ** 2
    return math.sqrt(square)


def _chance(rank: int, size: int, total: int) -> float:
    """That the first `rank` of `total` trials all fall to an arm of `size`, and the next one to the other arm."""
    if rank > size or total - size < 1:
        return 0.0
    return math.comb(total - rank - 1, size - rank) / math.comb(total, size)


# ---- the forks that a trace of an outer loop holds ----


def forks_of(trials: Iterable[Trial], name: str, source: str) -> list[Fork]:
    """All forks that tested a mechanism of this name and source hash, its ablations with the sign turned round."""
    found = []
    for trial in trials:
        data = trial.runs[-1].data if trial.runs else {}
        if data.get("inert"):  # it changed no decision, so the arms say nothing of it
            continue
        for test in data.get("tests", ()) if data.get("control") else ():
            if (test["mechanism"], test["source"]) == (name, source) and trial.score is not None:
                gain = float((trial.runs[-1].metrics or {}).get("gain", 0.0))
                found.append(Fork(gain * test["sign"], float(data.get("spread", 0.0))))
    return found
