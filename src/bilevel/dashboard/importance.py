"""How much of the differences between scores goes with one parameter."""

from collections.abc import Mapping, Sequence
from typing import Any

from bilevel.space import Domain

BINS = 5  # groups that a parameter with many values is cut into, of about equal size
FEWEST = 10  # trials with a score, below which nothing is said


def importance(values: Sequence[Any], scores: Sequence[float], domain: Domain) -> float | None:
    """The share, 0 to 1, of the variance of the ranks of the scores that lies between groups of a parameter's values,
    corrected for what chance alone would put there (epsilon squared: T. L. Kelley, "An unbiased correlation ratio
    measure", PNAS 21(9), 1935, doi:10.1073/pnas.21.9.554). Ranks, so that a few bad scores do not decide.

    None with fewer than `FEWEST` trials or where the parameter has one value. It describes the trials that there are,
    which the search chose: parameters that were changed together share what they did.
    """
    groups = _groups(values, domain)
    count = len(set(groups))
    if len(scores) < FEWEST or count < 2 or len(scores) <= count:
        return None
    ranks = ranked(scores)
    mean = sum(ranks) / len(ranks)
    total = sum((rank - mean) ** 2 for rank in ranks)
    if total == 0:
        return None
    inside: dict[int, list[float]] = {}
    for group, rank in zip(groups, ranks, strict=True):
        inside.setdefault(group, []).append(rank)
    within = sum(sum((rank - sum(own) / len(own)) ** 2 for rank in own) for own in inside.values())
    chance = within / (len(ranks) - count)
    return max(0.0, (total - within - (count - 1) * chance) / total)


def ranked(scores: Sequence[float]) -> list[float]:
    """The rank of each score from 1, equal ones sharing theirs."""
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    ranks, place = [0.0] * len(scores), 0
    while place < len(order):
        end = place
        while end < len(order) and scores[order[end]] == scores[order[place]]:
            end += 1
        for one in order[place:end]:
            ranks[one] = (place + 1 + end) / 2
        place = end
    return ranks


def _groups(values: Sequence[Any], domain: Domain) -> list[int]:
    """Which group each value is in: its own where there are few, else by quantiles along the domain."""
    known: Mapping[str, int] = {said: number for number, said in enumerate(dict.fromkeys(map(repr, values)))}
    if len(known) <= BINS:
        return [known[repr(value)] for value in values]
    units = [domain.unit(value) for value in values]
    ordered = sorted(units)
    cuts = [ordered[len(ordered) * number // BINS] for number in range(1, BINS)]
    return [sum(unit >= cut for cut in cuts) for unit in units]
