"""Typed claims about a task, and what the record of a search says of each: what holds so far, what it contradicts.

    larger NAME is better [in [A, B]]      a step up gains, a step down loses
    smaller NAME is better [in [A, B]]
    NAME does not matter                   no step changes the score by more than the noise
    best NAME is in [A, B]                 to step out of the range loses, to step into it gains
    NAME and NAME interact                 both steps together are not the sum of each alone

A claim is judged by trials that changed the one parameter alone (the last one by four candidates that differ in the two
alone), and by gains beyond the noise. It is contradicted where more of them speak against it than for it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt

from bilevel.space import Choice, Derived, Float, Int, Space
from bilevel.trace import Trace
from bilevel.trial import Trial

_N = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_IN = rf"\[\s*({_N})\s*,\s*({_N})\s*\]"
_SHAPES = {
    "better": re.compile(rf"(larger|smaller) ([\w.]+) is better(?: in {_IN})?"),
    "idle": re.compile(r"([\w.]+) does not matter"),
    "best": re.compile(rf"best ([\w.]+) is in {_IN}"),
    "interact": re.compile(r"([\w.]+) and ([\w.]+) interact"),
}
FORMS = (
    "larger NAME is better, smaller NAME is better in [A, B], NAME does not matter, best NAME is in [A, B], or NAME "
    "and NAME interact"
)


@dataclass(frozen=True)
class Claim:
    """A claim as it is written, its kind, the parameters that it names, and the range in which it is made."""

    text: str
    kind: str
    names: tuple[str, ...]
    sign: int = 1
    low: float = float("-inf")
    high: float = float("inf")

    def within(self, value: object) -> bool:
        return _number(value) is not None and self.low <= (_number(value) or 0.0) <= self.high


@dataclass(frozen=True)
class Standing:
    """What the record says of a claim: the numbers of the trials that speak for it and against it."""

    claim: Claim
    holds: tuple[int, ...] = ()
    against: tuple[int, ...] = field(default=())

    @property
    def contradicted(self) -> bool:
        return len(self.against) > len(self.holds)

    @property
    def sentence(self) -> str:
        """The claim, and how it stands, in a line."""
        if self.contradicted:
            beside = f", for it {_listed(self.holds)}" if self.holds else ""
            return f"CONTRADICTED by {_listed(self.against)}{beside}: {self.claim.text}"
        if self.holds:
            beside = f", against it {_listed(self.against)}" if self.against else ""
            return f"{self.claim.text} (held in {_listed(self.holds)}{beside})"
        return f"{self.claim.text} (not tested yet)"


def read_claim(text: str, space: Space | None) -> Claim:
    """A claim from its line. Raises ValueError where it cannot be read, or names what cannot be set or compared;
    without a space its names are not judged."""
    words = " ".join(text.strip().rstrip(".").split())
    kind, found = next(((k, m) for k, p in _SHAPES.items() if (m := p.fullmatch(words))), ("", None))
    if found is None:
        raise ValueError(f"the claim {words!r:.120} cannot be checked by code; write {FORMS}")
    match kind:
        case "better":
            low, high = _range(found[3], found[4], words)
            claim = Claim(words, kind, (found[2],), 1 if found[1] == "larger" else -1, low, high)
        case "best":
            low, high = _range(found[2], found[3], words)
            claim = Claim(words, kind, (found[1],), 1, low, high)
        case "interact":
            claim = Claim(words, kind, (found[1], found[2]))
        case _:
            claim = Claim(words, kind, (found[1],))
    if space is not None and (problem := _not_of(claim, space)):
        raise ValueError(problem)
    if len(set(claim.names)) < len(claim.names):
        raise ValueError(f"the claim {words!r:.120} needs two parameters")
    return claim


def _not_of(claim: Claim, space: Space) -> str | None:
    """Why a claim cannot be made of the parameters of a space, or None."""
    for name in claim.names:
        domain = space.domains.get(name)
        if domain is None or isinstance(domain, Derived):
            return f"the claim {claim.text!r:.120} names {name!r}, which is no parameter of this task"
        ordered = isinstance(domain, Float | Int) or (
            isinstance(domain, Choice) and all(_number(option) is not None for option in domain.options)
        )
        if claim.kind in ("better", "best") and not ordered:
            return f"the claim {claim.text!r:.120} needs a parameter that is a number, and {name!r} is none"
    return None


def standing(claim: Claim, trace: Trace) -> Standing:
    """How a claim stands after a search."""
    judged = _interaction(claim, trace) if claim.kind == "interact" else _steps(claim, trace)
    told = list(judged)
    return Standing(
        claim,
        tuple(trial.number for trial, word in told if word > 0),
        tuple(trial.number for trial, word in told if word < 0),
    )


def _steps(claim: Claim, trace: Trace) -> Iterable[tuple[Trial, int]]:
    """What each trial says that changed the one parameter alone: 1 for the claim, -1 against it, 0 nothing."""
    says: Callable[[float, float, int], int] = {"better": _better, "idle": _idle, "best": _best}[claim.kind](claim)
    (name,) = claim.names
    for trial in trace[1:]:
        gain, change = trace.gain_of(trial), trial.changes.get(name)
        if gain is None or change is None or len(trial.changes) > 1 or trial.candidate.files_changed_from(trial.parent):
            continue
        margin = trace.noise.margin or 0.0
        word = 1 if gain > margin else -1 if gain < -margin else 0
        old, new = _number(change.old), _number(change.new)
        yield trial, says(0.0 if old is None else old, 0.0 if new is None else new, word)


def _better(claim: Claim) -> Callable[[float, float, int], int]:
    def says(old: float, new: float, word: int) -> int:
        inside = claim.within(old) and claim.within(new)
        return word * claim.sign * (1 if new > old else -1) if inside else 0

    return says


def _idle(claim: Claim) -> Callable[[float, float, int], int]:
    return lambda old, new, word: -1 if word else 1


def _best(claim: Claim) -> Callable[[float, float, int], int]:
    def says(old: float, new: float, word: int) -> int:
        return word * (claim.within(new) - claim.within(old))

    return says


def _interaction(claim: Claim, trace: Trace) -> Iterable[tuple[Trial, int]]:
    """Four candidates that differ in two parameters alone: do both steps together gain the sum of each alone?"""
    one, other = claim.names
    margin = (trace.noise.margin or 0.0) * sqrt(2.0)  # of four scores, where a gain is of two
    for trial in trace[1:]:
        if set(trial.changes) != {one, other} or trial.candidate.files_changed_from(trial.parent):
            continue
        alone = [trial.parent.with_params(**{name: trial.changes[name].new}) for name in (one, other)]
        found = [trace.of(candidate.id) for candidate in (trial.parent, *alone, trial.candidate)]
        scores = [known.score for known in found if known is not None and known.score is not None]
        if len(scores) == 4:
            rest = scores[3] - scores[1] - scores[2] + scores[0]
            yield trial, 1 if abs(rest) > max(margin, 1e-12) else -1


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _range(low: str | None, high: str | None, text: str) -> tuple[float, float]:
    if low is None or high is None:
        return float("-inf"), float("inf")
    if float(low) >= float(high):
        raise ValueError(f"the claim {text!r:.120} is made in no range: {low} is not below {high}")
    return float(low), float(high)


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"#{number}" for number in numbers[-6:])
    return f"{'trials' if len(numbers) > 1 else 'trial'} {shown}"
