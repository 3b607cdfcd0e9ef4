"""What a claim stage keeps of an answer and confirms of it, where changes hide each other (`claim_stage.py --help`).

Answers are made of changes with a known worth, some of which do the same; a measurement has noise with a standard
deviation of 1. What is measured, taken back and confirmed is decided by the functions that a run asks; version 1 is the
rule of older stages, which takes all changes of no help back at once.
"""

import argparse
import math
import random
from collections.abc import Callable, Sequence

from bilevel.claim import STANDS, Allowance, next_round, standing, who_may_be_asked
from bilevel.objective import Objective
from bilevel.rollback import KeptChange, Question, Round
from bilevel.space import Candidate

Truth = Callable[[Sequence[int]], float]  # the worth of an answer, by which of its changes are in it

ADDED = (2.0, 1.5, 1.0, 0.5, 0.0, 0.0, 0.0, -0.5)
ANSWERS: dict[str, tuple[int, Truth]] = {
    "they add up": (8, lambda on: sum(worth * x for worth, x in zip(ADDED, on, strict=True))),
    "1 sd each": (8, lambda on: 1.0 * sum(on)),
    "no effect": (8, lambda on: 0.0),
    "one of four": (4, lambda on: 2.0 * on[0]),
    "either of two": (2, lambda on: 3.0 * max(on)),
    "two the same": (8, lambda on: 3.0 * max(on[:2]) + 1.5 * on[2]),
    "three the same": (8, lambda on: 3.0 * max(on[:3])),
    "two pairs": (8, lambda on: 2.0 * max(on[:2]) + 2.0 * max(on[2:4]) + 1.0 * on[4]),
}


def night(truth: Truth, size: int, version: int, most: int | None, seed: str) -> tuple[float, bool, int]:
    """The worth of what a stage leaves, whether it confirms it, and how many measurements it took."""
    names = [f"p{n}" for n in range(size)]
    start, best = (Candidate(dict.fromkeys(names, value)) for value in (0, 1))
    changes = tuple(KeptChange(f"root#{n}", (name,), gain=1.0 + 0.1 * n) for n, name in enumerate(names))
    question = Question(Objective("gain", minimize=False), start, best, changes, version=version)
    known: dict[str, Candidate] = {}
    scores: dict[tuple[str, int], float] = {}

    def worth(candidate: Candidate) -> float:
        return truth([int(str(candidate.params[name])) for name in names])

    def score(candidate: str, number: int) -> float:
        if (candidate, number) not in scores:
            noise = random.Random(f"{seed} {candidate} {number}").gauss(0.0, 1.0)
            scores[candidate, number] = worth(known[candidate]) + noise
        return scores[candidate, number]

    rounds: list[Round] = []
    while True:
        known |= who_may_be_asked(question, rounds, score)
        each = next_round(question, rounds, 0, score, Allowance(20, most))
        if each is None:
            break
        rounds.append(each)
    stands = standing(question, rounds, score)
    return worth(stands.answer), stands.whole.status == STANDS, sum(len(set(one.arms.values())) for one in rounds)


def interval(values: Sequence[float], scale: float, digits: int) -> str:
    """The mean of what is never negative, with its 95 % interval (normal)."""
    mean = sum(values) / len(values)
    wide = 1.96 * math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) / (len(values) - 1))
    low, high = (scale * max(bound, 0.0) for bound in (mean - wide, mean + wide))
    return f"{scale * mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=400, help="stages per line")
    parser.add_argument("--answers", nargs="*", choices=list(ANSWERS), default=list(ANSWERS))
    asked = parser.parse_args()
    print(f"{asked.nights} stages a line [95 %]; worth in sd of one measurement")
    heads = f"{'worth seen':>12}{'worth left':>21}{'confirmed, %':>20}{'measured':>10}"
    print(f"{'answer':16}{'most':>6}{'version':>9}{heads}")
    for most in (60, None):
        for name in asked.answers:
            size, truth = ANSWERS[name]
            for version in (1, 2):  # later ones take changes back as 2 does
                left, sure, took = zip(
                    *(night(truth, size, version, most, f"{name} {n}") for n in range(asked.nights)), strict=True
                )
                print(
                    f"{name:16}{most or '-':>6}{version:>9}{truth([1] * size):>12.1f}{interval(left, 1, 2):>21}"
                    f"{interval(sure, 100, 0):>20}{sum(took) / len(took):>10.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
