"""Skills: texts that a researcher is given when they are of use, with claims that its own record can contradict.

    ---
    when: stuck >= 4 and trials >= 6
    claims:
    - larger width is better in [64, 256]
    ---
    Change one parameter at a time ...

`when` says when to use it: `always`, or conditions joined by "and": `trials >= 6` (trials made so far), `stuck >= 4`
(trials since the best), `failed >= 1` and `refused >= 1` (of the last ten), `free width` (the parameter may be changed
now). Claims are in `claimed`.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bilevel.mechanism import Guest
from bilevel.researchers.claimed import Claim, Standing, read_claim, standing
from bilevel.researchers.headed import headed, only
from bilevel.space import Space
from bilevel.trace import Trace
from bilevel.trial import Status
from bilevel.view import View

RECENT = 10  # trials among which failed and refused ones are counted
MOST_CLAIMS = 8
NO_FAILURE = (Status.REFUSED, Status.PRUNED, Status.INFRASTRUCTURE)
_TESTS: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt
}  # fmt: skip
_COUNTED = ("trials", "stuck", "failed", "refused")
_CONDITION = re.compile(rf"({'|'.join(_COUNTED)})\s*(>=|<=|>|<)\s*(\d+)")
_FREE = re.compile(r"free ([\w.]+)")


@dataclass(frozen=True)
class Skill:
    """A skill as it was read: its plain name, its conditions, its claims, and what it says."""

    name: str
    when: tuple[str, ...]
    claims: tuple[Claim, ...]
    body: str

    def fits(self, view: View) -> bool:
        """Whether it is of use for the trial that is asked for."""
        return all(_holds(condition, view) for condition in self.when)

    def standings(self, trace: Trace) -> tuple[Standing, ...]:
        return tuple(standing(claim, trace) for claim in self.claims)

    def shown(self, trace: Trace) -> str:
        """What a researcher reads of it: marked where the record contradicts a claim."""
        found = self.standings(trace)
        lost = sum(one.contradicted for one in found)
        mark = f"[{lost} of its {len(found)} claims contradicted by the trials] " if lost else ""
        lines = [f"{mark}{self.body}", *(f"- claim: {one.sentence}" for one in found)]
        return "\n".join(lines)


def read_skill(text: Guest, space: Space | None) -> Skill:
    """A skill from its text. Raises ValueError with all that is wrong; without a space parameters are not judged."""
    found = headed(text.source, ("when", "claims"))
    wrong = only(found, "when")
    if not found.body:
        wrong.append("a skill says something below its head")
    when = found.one("when")
    conditions = tuple(part.strip() for part in when.split(" and ")) if when else ()
    if not when:
        wrong.append("a skill has a line `when:` in its head: always, or conditions such as: stuck >= 4 and free width")
    wrong += [problem for condition in conditions if (problem := _unread(condition, space))]
    claims: list[Claim] = []
    for line in found.head.get("claims", []):
        try:
            claims.append(read_claim(line, space))
        except ValueError as error:
            wrong.append(str(error))
    if len(claims) > MOST_CLAIMS:
        wrong.append(f"a skill makes at most {MOST_CLAIMS} claims, not {len(claims)}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return Skill(text.name.partition(":")[2], conditions, tuple(claims), found.body)


def _unread(condition: str, space: Space | None) -> str | None:
    if condition == "always" or _CONDITION.fullmatch(condition):
        return None
    free = _FREE.fullmatch(condition)
    if free is None:
        return (
            f"the condition {condition!r:.80} cannot be read: always, free NAME, or one of {', '.join(_COUNTED)} with "
            ">=, <=, > or < and a whole number"
        )
    return None if space is None or free[1] in space.domains else f"when: {free[1]!r} is no parameter of this task"


def _holds(condition: str, view: View) -> bool:
    if condition == "always":
        return True
    if free := _FREE.fullmatch(condition):
        return free[1] in view.space.active
    found = _CONDITION.fullmatch(condition)
    assert found is not None  # it was read before
    return _TESTS[found[2]](_count(found[1], view), int(found[3]))


def _count(what: str, view: View) -> int:
    trace = view.trace
    recent = [trial for trial in trace[1:] if trial.number > len(trace) - 1 - RECENT]
    match what:
        case "trials":
            return max(len(trace) - 1, 0)
        case "stuck":
            return trace.since_improvement()
        case "refused":
            return sum(trial.status is Status.REFUSED for trial in recent)
    return sum(trial.score is None and trial.status not in NO_FAILURE for trial in recent)
