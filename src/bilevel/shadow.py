"""Whether advice matters: the researcher asked again on the side, without a mechanism's advice or with all of it.

Text for a researcher changes nothing by itself. Where asking is free, each trial's draft is made again without it and
compared: exact. A researcher that costs something is asked in a share of the trials, and always where a mechanism is
on trial: once per mechanism *without* its advice, with the same seed, and once *again*, with the very same text and a
fresh seed. The second is the noise: a model whose seed is another, or whose server heeds none, answers otherwise to the
same text, and a text of other length alone lets it draw another answer. So advice is called live only where leaving it
out changes the drafts more often than asking again does, by Fisher's exact test (R. A. Fisher, "The logic of inductive
inference", Journal of the Royal Statistical Society 98, 1935, doi:10.2307/2342435).

What is asked on the side has its own ending in the record of calls, and changes nothing of the trial that runs.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb

from bilevel.call import Ask, Reply, Request
from bilevel.codec import derive_seed
from bilevel.space import Candidate, Float, Int, Space
from bilevel.trial import NO_ANSWER, Proposal, Shadow
from bilevel.view import View

AGAIN = "again"
WITHOUT = "without"
LEVEL = 0.05  # the chance that advice of no effect is called live, at most
_REPEATS = 1_000  # more than a researcher's own repeat indices
_ENDING = re.compile(rf"/({AGAIN}|{WITHOUT} [^/]+)$")


@dataclass(frozen=True)
class Aside:
    """How a view's questions are asked on the side: marked as such, and as new ones where they are asked `again`.

    Without advice the seed stays: a question that the advice did not change is the same question, and is not paid for
    twice. The arm of a fork that has no such mechanism shares the answers.
    """

    without: str = ""

    def of(self, view: View) -> View:
        """The view whose questions are asked that way."""
        return view if view.asks is None else replace(view, asks=_Asides(self.without, view.asks))


@dataclass(frozen=True)
class _Asides:
    without: str
    asks: Ask

    def __call__(self, request: Request, purpose: str, seed: int, repeat: int) -> Reply:
        if self.without:
            return self.asks(request, f"{purpose}/{WITHOUT} {self.without}", seed, repeat)
        return self.asks(request, f"{purpose}/{AGAIN}", derive_seed(seed, AGAIN), repeat + _REPEATS)


def aside_of(purpose: str) -> str:
    """What a recorded call was asked on the side for, "again" or "without NAME"; empty for all others."""
    found = _ENDING.search(purpose)
    return found[1] if found else ""


# ---- comparing ----


def compared(
    mechanism: str, kind: str, space: Space, parent: Candidate, drafts: Sequence[Proposal], others: Sequence[Proposal]
) -> Shadow:
    """How the first answers to two questions differ: the first two drafts in the order given that are not the same.
    What a researcher withdraws itself is no draft."""
    drafts, others = ([one for one in each if not one.dropped] for each in (drafts, others))
    pairs = zip(drafts, others, strict=False)
    pair = next(((a.candidate, b.candidate) for a, b in pairs if a.candidate != b.candidate), None)
    if bool(drafts) != bool(others):
        return Shadow(mechanism, kind, True, "nothing proposed")
    if pair is not None:
        return Shadow(mechanism, kind, True, _how(parent, *pair), _distance(space, *pair))
    if len(drafts) != len(others):
        return Shadow(mechanism, kind, True, "other count")
    return Shadow(mechanism, kind, False, "same")


def _how(parent: Candidate, one: Candidate, other: Candidate) -> str:
    if one.files_changed_from(other):
        return "other files"
    changed = [set(candidate.changes_from(parent)) for candidate in (one, other)]
    return "other values" if changed[0] == changed[1] else "other parameters"


def _distance(space: Space, one: Candidate, other: Candidate) -> float | None:
    """The largest step between two candidates over the numbers that both hold as the space allows them, to six places;
    None where no such number differs."""
    steps = []
    for name, domain in space.domains.items():
        values = [candidate.params.get(name) for candidate in (one, other)]
        if isinstance(domain, Float | Int) and all(v is not None and domain.check(v) is None for v in values):
            steps.append(space.step(name, one.params[name], other.params[name]))
    most = round(max(steps, default=0.0), 6)
    return most or None


# ---- the ledger of advice ----


@dataclass(frozen=True)
class Tally:
    """Of so many `asks` that could be compared so many `differed`, and how; `failed` ones could not. `distance` is the
    mean over those where numbers differ."""

    asks: int = 0
    differed: int = 0
    failed: int = 0
    how: Mapping[str, int] = field(default_factory=dict)
    distance: float | None = None

    def __str__(self) -> str:
        kinds = ", ".join(f"{how} {count}" for how, count in self.how.items())
        return f"{self.differed} of {self.asks}" + (f" ({kinds})" if kinds else "")


@dataclass(frozen=True)
class Advice:
    """What asking on the side says of a mechanism's advice. `chance`: how probable so great a difference of the two
    rates or a greater one is, if the advice has no effect."""

    without: Tally
    again: Tally
    chance: float

    @property
    def live(self) -> bool:
        """Whether leaving the advice out changes drafts more often than asking again does. Where it is not, that may
        just as well be for want of asks."""
        return self.chance <= LEVEL

    def __str__(self) -> str:
        if not self.without.asks:
            return f"none of {self.without.failed} asks without it could be compared"
        return (
            f"drafts differed in {self.without.differed} of {self.without.asks} asks without it, and in "
            f"{self.again.differed} of {self.again.asks} where the same text was asked again (p = {self.chance:.2g})"
        )


def advice_of(mechanism: str, trials: Iterable[Sequence[Shadow]]) -> Advice | None:
    """The asks on the side about one mechanism, over the shadows of some trials; None where there are none.

    Asking again counts in the trials that also asked without this mechanism.
    """
    own = [shadows for shadows in trials if any(shadow.mechanism == mechanism for shadow in shadows)]
    without = _tally(shadow for shadows in own for shadow in shadows if shadow.mechanism == mechanism)
    again = _tally(shadow for shadows in own for shadow in shadows if shadow.kind == AGAIN)
    return Advice(without, again, _fisher(without, again)) if own else None


def _tally(shadows: Iterable[Shadow]) -> Tally:
    every = list(shadows)
    usable = [shadow for shadow in every if shadow.how != NO_ANSWER]
    how = Counter(shadow.how for shadow in usable if shadow.differs)
    steps = [shadow.distance for shadow in usable if shadow.distance is not None]
    mean = round(sum(steps) / len(steps), 6) if steps else None
    return Tally(len(usable), sum(how.values()), len(every) - len(usable), dict(how.most_common()), mean)


def _fisher(one: Tally, other: Tally) -> float:
    """The one-sided chance that the first differs as often or more, both having one rate.

    The two are compared with the same draft in each trial, which makes them alike rather than unlike: then the test
    errs on the careful side.
    """
    asks, differed = one.asks + other.asks, one.differed + other.differed
    ways = range(one.differed, min(one.asks, differed) + 1)
    return sum(comb(one.asks, k) * comb(other.asks, differed - k) for k in ways) / comb(asks, differed)
