"""What is new above the innermost loop of a run, and what became of persons' acts, each in a sentence and in facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bilevel.acts import Act, Effect
from bilevel.lab import Branch
from bilevel.levels import LoopTask, aimed_at, levels_of
from bilevel.loop import LoopSpec
from bilevel.space import Candidate
from bilevel.steered import searches_mechanisms
from bilevel.trial import Trial

SAID = {"added": "is in force on level {0!r}", "changed": "was changed on level {0!r}", "removed": "left level {0!r}"}


@dataclass(frozen=True)
class News:
    """One thing that happened; `key` names it among all of a run."""

    event: str
    key: str
    message: str
    facts: Mapping[str, Any]


class Mechanisms:
    """Follows the sets of mechanisms that the loops of a run search, trial by trial."""

    def __init__(self, spec: LoopSpec) -> None:
        self._aims = {
            loop.name: aimed_at(loop.task).name
            for loop in levels_of(spec)
            if isinstance(loop.task, LoopTask) and searches_mechanisms(loop.task.surface)
        }
        self._stands: dict[str, Candidate] = {}
        self._retired: dict[str, Act] = {}  # by name, what persons said last

    def after(self, branch: Branch, trial: Trial) -> list[News]:
        """The mechanisms that came into force or left with a trial; trials of a branch come in their order."""
        if branch.level not in self._aims:
            return []
        self._retired |= {act.what: act for act in trial.acts if act.kind == "retire"}
        now = trial.candidate if trial.decision.keep or trial.number == 0 else trial.parent
        before = self._stands.get(branch.id, trial.parent)
        self._stands[branch.id] = now
        return [self._one(branch, trial, name, before, now) for name in now.files_changed_from(before)]

    def _one(self, branch: Branch, trial: Trial, name: str, before: Candidate, now: Candidate) -> News:
        change = "removed" if name not in now.files else "changed" if name in before.files else "added"
        why = trial.decision.reason if trial.decision.keep else "the search went on from another set"
        if change == "removed" and name not in trial.parent.files and name in self._retired:
            act = self._retired[name]
            why = f"retired by {act.author}{f': {act.text}' if act.text else ''}"
        level, place = self._aims[branch.level], f"{branch.id}:{trial.number}"
        facts = {"mechanism": name, "change": change, "level": level, "place": place, "reason": why}
        message = f"mechanism {name!r} {SAID[change].format(level)}: {why}"
        return News("mechanism", f"mechanism {place} {name}", message, facts)


def of_acts(acts: Sequence[Act], effects: Sequence[Effect]) -> list[News]:
    """What became of each act, when the first loop took it up or it was refused."""
    first: dict[int, Effect] = {}
    for effect in effects:
        first.setdefault(effect.act, effect)
    return [_of_act(act, first[act.number]) for act in acts if act.number in first]


def _of_act(act: Act, effect: Effect) -> News:
    place = f"{effect.branch}:{effect.number}"
    facts = {
        "act": act.number, "kind": act.kind, "what": act.what, "text": act.text, "value": act.value,
        "author": act.author, "outcome": effect.outcome, "place": place, "reason": effect.said,
    }  # fmt: skip
    why = f": {effect.said}" if effect.said else ""
    return News("act", f"act {act.number}", f"{act.author}: {act.said} ({effect.outcome}{why})", facts)
