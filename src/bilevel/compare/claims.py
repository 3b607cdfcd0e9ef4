"""What a comparison may say of level 2, in words.

Each injection of a mechanism brings a new start of the inner loop with it, the library has rules that help whoever
picks them, and any pick may be lucky. So an arm with level 2 may be said to help only if it beats, in the same
comparison, the restart alone, the same library in force from the first trial, and the same library picked blindly.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bilevel.compare.paired import LEVEL
from bilevel.compare.plan import Plan
from bilevel.compare.resampling import Estimate

NEEDED = ("restart", "static", "shuffle")
BLIND = ("library:random", "library:only:placebo")


class Tested(Protocol):
    """An arm against another; see `analysis.Paired`."""

    @property
    def other(self) -> str: ...
    @property
    def difference(self) -> Estimate: ...
    @property
    def corrected(self) -> float | None: ...


@dataclass(frozen=True)
class Claim:
    """Whether "level 2 helps" may be said of an arm. `beaten`, `unbeaten` and `absent` are the controls needed."""

    arm: str
    allowed: bool
    text: str
    beaten: tuple[str, ...] = ()
    unbeaten: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def level_two(recipe: Mapping[str, Any]) -> bool:
    """Whether the recipe has an outer loop that searches mechanisms, and is no control itself."""
    return recipe["inner"].get("call_mechanisms", True) and any(
        level["level"] == "mechanisms" and level["researcher"] not in BLIND for level in recipe["outer"]
    )


def claims_of(
    plan: Plan, compared: Callable[[Sequence[tuple[str, str]]], Sequence[Tested]], incomplete: Collection[str]
) -> tuple[Claim, ...]:
    """A claim for each arm with level 2. `compared` tests pairs of arms, corrected for their number; `incomplete` are
    arms of which runs are missing."""
    arms = [arm for arm, recipe in plan.arms.items() if level_two(recipe)]
    there = [control for control in NEEDED if control in plan.arms]
    pairs = [(arm, control) for arm in arms for control in there]
    found: dict[str, list[Tested]] = {arm: [] for arm in arms}
    for (arm, _), tested in zip(pairs, compared(pairs), strict=True):
        found[arm].append(tested)
    return tuple(_claim(arm, found[arm], [one for one in (arm, *there) if one in incomplete]) for arm in arms)


def _claim(arm: str, tests: Sequence[Tested], incomplete: Sequence[str]) -> Claim:
    beaten = tuple(test.other for test in tests if _beats(test))
    unbeaten = tuple(test.other for test in tests if not _beats(test))
    absent = tuple(control for control in NEEDED if control not in (*beaten, *unbeaten))
    said = "; ".join(f"against {test.other} {_said(test)}" for test in tests)
    reasons = [
        *([f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} not in this comparison"] if absent else []),
        *([f"it does not beat {_list(unbeaten)}"] if unbeaten else []),
        *([f"runs of {_list(incomplete)} are missing"] if incomplete else []),
    ]
    if reasons:
        text = f"{arm}: that level 2 helps may not be said here: {', and '.join(reasons)}"
    else:
        text = f"{arm}: level 2 helped here, with this task, researcher and budget: it beats {_list(beaten)}"
    return Claim(arm, not reasons, f"{text}{f' ({said})' if said else ''}.", beaten, unbeaten, absent)


def _beats(test: Tested) -> bool:
    value, p = test.difference.value, test.corrected
    return value is not None and p is not None and value > 0 and p <= LEVEL


def _said(test: Tested) -> str:
    if test.difference.value is None or test.corrected is None:
        return "no pairs"
    return f"{test.difference.value:+.4g}, corrected p {test.corrected:.3g}"


def _list(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
