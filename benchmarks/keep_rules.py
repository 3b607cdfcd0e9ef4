"""Simulated nights: how often each keep rule keeps what is no better, what it gains, and what is claimed then.

    python benchmarks/keep_rules.py                 # 2,000 nights, and answers, of each kind
    python benchmarks/keep_rules.py --nights 500

An idea changes the mean of the score by its effect; each measurement adds normal noise with an sd of 1, independent for
each candidate and seed. The decisions are made by `bilevel.rules`, the functions that a run asks, and the claims by
`bilevel.claim`; nothing of them is written again here. The baseline is measured on three seeds, the noise is estimated
from these as a run does it, and all rules meet the same ideas with the same noise.

First table: 100 ideas per night, none has an effect; the night's answer goes to the claim stage, and to three pairs on
fresh seeds with a percentile bootstrap. Second and third table: a night ends after so many measurements, one idea in
ten has a real effect (0.5, 1, 2 or 3 sd, each as often), three in ten have none and six in ten are worse by 1 or 2 sd.
Fourth table: answers with a known gain, on fresh seeds: how often each way to confirm says that they are better. All
others say so where the lower limit of the mean of the paired differences, one-sided at 95 %, is above 0. The bootstrap
is exact: all resamples are listed.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bilevel.claim import PROVISIONAL, STANDS, Allowance, next_round, standing
from bilevel.noise import Noise, estimate
from bilevel.objective import Objective
from bilevel.quantiles import student
from bilevel.rollback import Question
from bilevel.rules import Rule
from bilevel.space import Candidate

CALIBRATION, DEEPEST = 3, 4
REAL = (0.5, 1.0, 2.0, 3.0)
IDEAS = ((0.5, 0.025), (1.0, 0.025), (2.0, 0.025), (3.0, 0.025), (0.0, 0.3), (-1.0, 0.3), (-2.0, 0.3))
ROUNDS = 20  # of the claim stage, as a run has them
CLAIM = (Candidate({"idea": 0}), Candidate({"idea": 1}))


@dataclass(frozen=True)
class Method:
    """A keep rule, on how many seeds the baseline is calibrated, and how it is called in the tables."""

    name: str
    rule: Rule
    calibration: int = CALIBRATION


METHODS = (
    Method("race 2", Rule("race", 2)),
    Method("race 3", Rule("race", 3)),
    Method("race 2, calibration 1", Rule("race", 2), 1),
    Method("greedy", Rule("greedy")),
    Method("margin", Rule("margin")),
    Method("fixed 3", Rule("fixed", 3)),
)


@dataclass
class Night:
    """What one night came to. `tried` and `kept`: ideas by effect. `gains`: the true gain after so many measurements.

    `spent` is without the baseline's calibration. `confirmed`: the claim stage says that the answer is better;
    `resampled`: a percentile bootstrap of three fresh pairs says so.
    """

    spent: int = 0
    tried: dict[float, int] = field(default_factory=dict)
    kept: dict[float, int] = field(default_factory=dict)
    gains: list[float] = field(default_factory=list)
    gain: float = 0.0
    confirmed: bool = False
    resampled: bool = False

    @property
    def keeps(self) -> int:
        return sum(self.kept.values())

    @property
    def false(self) -> int:
        return sum(number for effect, number in self.kept.items() if effect <= 0)


@dataclass
class Stands:
    """The candidate that the search goes on from: its true mean, and its noise and scores by seed."""

    mean: float
    noise: Sequence[float]
    known: int

    def score(self, seed: int) -> float:
        return self.mean + self.noise[seed]


def night(method: Method, effects: Sequence[float], noise: np.ndarray, stops: Sequence[int] = ()) -> Night:
    """One night: ideas in their order, until they are all tried or the last of `stops` measurements is spent.

    `noise` holds a row for the baseline and for each idea.
    """
    found, parent = Night(), Stands(0.0, noise[0].tolist(), method.calibration)
    known = estimate(parent.noise[: method.calibration])
    for idea, effect in enumerate(effects, 1):
        challenger, before = Stands(parent.mean + effect, noise[idea].tolist(), 0), found.spent
        kept = duel(method.rule, challenger, parent, known, found)
        while stops and len(found.gains) < len(stops) and found.spent > stops[len(found.gains)]:
            found.gains.append(found.gain)  # what was decided later came too late
        if stops and len(found.gains) == len(stops):
            found.spent = before
            break
        found.tried[effect] = found.tried.get(effect, 0) + 1
        if kept:
            found.kept[effect] = found.kept.get(effect, 0) + 1
            parent, found.gain = challenger, challenger.mean
    return found


def duel(rule: Rule, challenger: Stands, parent: Stands, noise: Noise, spent: Night) -> bool:
    """Whether the challenger is kept; what is measured of both is charged to the night."""
    rule, gains = rule.under(noise), list[float]()
    while True:
        for _ in range(rule.at_once if not gains else 1):
            seed = len(gains)
            spent.spent += 1
            if seed >= parent.known and rule.depth > 1:
                spent.spent, parent.known = spent.spent + 1, seed + 1
            gains.append(challenger.score(seed) - parent.score(seed))
        now = rule.under(noise, gains)
        if not now.goes_on(gains, noise):
            challenger.known = len(gains)
            return now.keeps(gains, noise)


def claims(gain: float, rng: np.random.Generator) -> tuple[bool, int]:
    """Whether the claim stage confirms an answer with this true gain, on fresh seeds, and after how many pairs."""
    scores = {CLAIM[0].id: rng.normal(0.0, 1.0, ROUNDS), CLAIM[1].id: rng.normal(gain, 1.0, ROUNDS)}
    question = Question(Objective("gain", minimize=False), CLAIM[0], CLAIM[1], ())

    def score(candidate: str, seed: int) -> float:
        return float(scores[candidate][seed])

    rounds: list = []
    while (each := next_round(question, rounds, 0, score, Allowance(ROUNDS))) is not None:
        rounds.append(each)
        if standing(question, rounds, score).whole.status != PROVISIONAL:
            break
    return standing(question, rounds, score).whole.status == STANDS, len(rounds)


def bootstrap(differences: np.ndarray) -> np.ndarray:
    """For each row of paired differences: whether the 5 % percentile of the means of all its resamples is above 0."""
    pairs = differences.shape[1]
    resamples = np.array(list(itertools.product(range(pairs), repeat=pairs)))
    return np.percentile(differences[:, resamples].mean(axis=2), 5, axis=1) > 0


def t_test(differences: np.ndarray) -> np.ndarray:
    """For each row: whether Student's one-sided test at 5 % says that the mean is above 0."""
    pairs = differences.shape[1]
    wide = student(0.95, pairs - 1) * differences.std(axis=1, ddof=1) / math.sqrt(pairs)
    return differences.mean(axis=1) > wide


def nights(
    method: Method, number: int, seed: int, ideas: int, mixed: bool, stops: Sequence[int] = (), claim: bool = True
) -> list[Night]:
    """Many nights; night n has the same ideas and the same noise under every method."""
    found = []
    for n in range(number):
        rng = np.random.default_rng([seed, n, int(mixed)])
        effects, shares = zip(*IDEAS, strict=True)
        drawn = rng.choice(effects, size=ideas, p=shares).tolist() if mixed else [0.0] * ideas
        one = night(method, drawn, rng.normal(0.0, 1.0, (ideas + 1, DEEPEST)), stops)
        answers = claim and one.keeps > 0
        confirmed = answers and claims(one.gain, rng)[0]
        resampled = answers and bool(bootstrap(rng.normal(one.gain, math.sqrt(2), (1, 3)))[0])
        found.append(replace(one, confirmed=confirmed, resampled=resampled))
    return found


# ---- the tables ----


def ratio(found: Sequence[Night], above: Callable[[Night], float], below: Callable[[Night], float]) -> tuple:
    """A ratio of sums over nights with its 95 % interval (linearised, nights are independent)."""
    x, y = np.array([above(one) for one in found], float), np.array([below(one) for one in found], float)
    if not y.sum():
        return math.nan, math.nan, math.nan
    value = x.sum() / y.sum()
    wide = 1.96 * float(np.std(x - value * y)) * math.sqrt(len(found)) / y.sum()
    return value, value - wide, value + wide


def share(found: Sequence[bool] | np.ndarray) -> tuple:
    """How many hold, as a share, with its 95 % interval (E. B. Wilson, 1927, doi:10.1080/01621459.1927.10502953)."""
    n, p, z = len(found), sum(map(bool, found)) / len(found), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    wide = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return p, max(middle - wide, 0.0), min(middle + wide, 1.0)


def number(value: tuple, digits: int = 2) -> str:
    return "-" if math.isnan(value[0]) else f"{value[0]:.{digits}f} [{value[1]:.{digits}f}, {value[2]:.{digits}f}]"


def percent(value: tuple) -> str:
    return (
        "-"
        if math.isnan(value[0])
        else "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * min(max(part, 0.0), 1.0) for part in value))
    )


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    wide = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    print(f"\n{title}")
    for row in [heads, *rows]:
        print("  ".join(text.ljust(wide[0]) if not n else text.rjust(wide[n]) for n, text in enumerate(row)))


def one(night: Night) -> float:
    return 1.0


def print_null(many: int, seed: int) -> None:
    rows = []
    for method in METHODS:
        found = nights(method, many, seed, 100, mixed=False)
        rows.append([
            method.name,
            number(ratio(found, lambda night: night.spent, one), 0),
            number(ratio(found, lambda night: night.keeps, one)),
            percent(share([night.keeps > 0 for night in found])),
            percent(share([night.confirmed for night in found])),
            percent(share([night.resampled for night in found])),
        ])  # fmt: skip
    heads = (
        "rule",
        "measurements",
        "false keeps per night",
        "nights with any, %",
        "claim confirmed, %",
        "bootstrap of 3, %",
    )
    table(f"{many} nights of 100 ideas, none with an effect [95 %]", heads, rows)


def print_mixed(many: int, seed: int, stops: Sequence[int]) -> None:
    rows, power = [], []
    for method in METHODS:
        found = nights(method, many, seed, max(stops) + 1, mixed=True, stops=stops)
        gains = [number(ratio(found, lambda night, n=n: night.gains[n], one)) for n in range(len(stops))]
        false = ratio(found, lambda night: night.false, lambda night: night.keeps)
        confirmed = share([night.confirmed for night in found])
        rows.append([method.name, *gains, percent(false), percent(confirmed)])
        powers = [
            ratio(found, lambda night, e=e: night.kept.get(e, 0), lambda night, e=e: night.tried.get(e, 0))
            for e in REAL
        ]
        power.append([method.name, *map(percent, powers)])
    heads = ("rule", *(f"gain after {stop}, sd" for stop in stops), "false keeps, % of keeps", "nights confirmed, %")
    table(f"{many} nights, 10 % of the ideas have an effect, 60 % are worse [95 %]", heads, rows)
    table("kept, % of the ideas with this effect [95 %]", ("rule", *(f"{e:g} sd" for e in REAL)), power)


def print_claims(many: int, seed: int) -> None:
    rows = []
    for gain in (0.0, *REAL):
        rng = np.random.default_rng([seed, int(10 * gain)])
        ours = [claims(gain, rng) for _ in range(many)]
        drawn = {pairs: rng.normal(gain, math.sqrt(2), (many, pairs)) for pairs in (2, 3, 5)}
        rows.append([
            f"{gain:g} sd",
            percent(share([confirmed for confirmed, _ in ours])),
            f"{sum(pairs for _, pairs in ours) / many:.1f}",
            *(percent(share(bootstrap(drawn[pairs]))) for pairs in (2, 3, 5)),
            *(percent(share(t_test(drawn[pairs]))) for pairs in (3, 5)),
        ])  # fmt: skip
    heads = ("true gain", "claim stage", "its pairs", *(f"bootstrap of {n}" for n in (2, 3, 5)), "t of 3", "t of 5")
    table(f"{many} answers with each gain: confirmed on fresh seeds, % [95 %]", heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stops", default="50,100,200", help="measurements after which gains are compared")
    options = parser.parse_args()
    began = time.perf_counter()
    print_null(options.nights, options.seed)
    print_mixed(options.nights, options.seed, [int(stop) for stop in options.stops.split(",")])
    print_claims(options.nights, options.seed)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
