"""Semantic duplicates: the same parameter, direction and size of step as before, under other words, is not tried again.

Source: the attributive memory of tabu search, which forbids kinds of moves instead of whole solutions: F. Glover,
M. Laguna, "Tabu Search", 1997, doi:10.1007/978-1-4615-6089-0, chapter 2.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Change, Derived, Float, Int, Space
from bilevel.trial import Proposal, Status, Trial
from bilevel.view import View

PLAIN = (re.compile(r"#.*"), ""), (re.compile(r"-?\b\d+(\.\d+)?\b"), "0"), (re.compile(r"\s+"), " ")

Idea: TypeAlias = tuple[int, Mapping[str, Change]]  # the trial's number, and what it changed


class SemanticDuplicate(Mechanism):
    """Refuse a draft whose idea is that of one of the last `window` discarded trials, or of one in flight.

    Two ideas are equal if they change the same parameters, each number in the same direction by a step of the same
    class (`classes` are the bounds between small, medium and large, shares of the parameter's range) from nearly the
    same place (within `near`), and everything else to the same value. What was kept may be done again: that is
    momentum. Where a draft's files make the difference, or a value is not valid, it passes.

    Where all parameters are derived, as on a loop that searches mechanisms, a candidate is its files, and an idea the
    texts that it adds and takes away, whatever these are called, without numbers, comments and white space.
    """

    domain = "attributive memory"
    window = 60
    classes = (0.06, 0.2)
    near = 0.08

    def remember(self, memory: Any, trial: Trial) -> tuple[Idea, ...]:
        """The newest ideas that ran and were discarded."""
        ideas: tuple[Idea, ...] = memory or ()
        if trial.decision.keep or not trial.runs or not trial.changes or trial.status is Status.INFRASTRUCTURE:
            return ideas
        return (*ideas, (trial.number, dict(trial.changes)))[-self.window :]

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if view.space.domains and all(isinstance(domain, Derived) for domain in view.space.domains.values()):
            return self._judged_by_files(view, parent, proposals)
        flying = tuple((pending.number, pending.changes) for pending in view.pending)
        ideas = (*(view.memory or ()), *flying)
        return tuple(self._judged(view, parent, proposal, ideas) for proposal in proposals) if ideas else proposals

    def _judged(self, view: View, parent: Candidate, proposal: Proposal, ideas: tuple[Idea, ...]) -> Proposal:
        space, candidate = view.space, proposal.candidate
        if proposal.repeats or proposal.dropped or space.problems(candidate, parent):
            return proposal
        changes = candidate.changes_from(parent)
        derived = all(isinstance(space.domains[name], Derived) for name in changes)
        if not changes or (candidate.files_changed_from(parent) and not derived):
            return proposal
        for number, before in reversed(ideas):
            if before.keys() == changes.keys() and all(
                self._alike(space, name, change, before[name]) for name, change in changes.items()
            ):
                said = ", ".join(self._words(space, name, change) for name, change in changes.items())
                return proposal.drop(
                    f"the idea of trial {number} in other words ({said}, from the same place): "
                    "change something else, or by a step of another size"
                )
        return proposal

    def _judged_by_files(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        discarded = [
            trial for trial in view.trace[-self.window :]
            if trial.runs and not trial.decision.keep and trial.status is not Status.INFRASTRUCTURE
        ]  # fmt: skip
        ideas = [(t.number, self._texts(t.candidate, t.parent)) for t in discarded]
        ideas += [(p.number, self._texts(p.proposal.candidate, p.parent)) for p in view.pending]
        judged = []
        for proposal in proposals:
            idea = self._texts(proposal.candidate, parent)
            number = next((number for number, before in reversed(ideas) if before == idea), None)
            free = proposal.repeats or proposal.dropped or not any(idea) or number is None
            same = f"the idea of trial {number}, but for names, numbers and comments: take up another idea"
            judged.append(proposal if free else proposal.drop(same))
        return tuple(judged)

    def _texts(self, new: Candidate, old: Candidate) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is added and what is taken away, each in order; a text that stays under another name is neither."""
        added, removed = ([self._plain(files.get(name)) for name in new.files_changed_from(old)]
                          for files in (new.files, old.files))  # fmt: skip
        moved = set(added) & set(removed)
        return tuple(sorted({*added} - moved - {""})), tuple(sorted({*removed} - moved - {""}))

    def _plain(self, text: str | None) -> str:
        for pattern, put in PLAIN:
            text = pattern.sub(put, text or "")
        return text or ""

    def _alike(self, space: Space, name: str, a: Change, b: Change) -> bool:
        if not isinstance(space.domains[name], Float | Int):
            return space.step(name, a.new, b.new) == 0
        return self._words(space, name, a) == self._words(space, name, b) and (
            space.step(name, a.old, b.old) <= self.near
        )

    def _words(self, space: Space, name: str, change: Change) -> str:
        """What a change does, in the words by which two are compared: "a small step of depth up"."""
        domain = space.domains[name]
        if not isinstance(domain, Float | Int):
            return f"{name} to {change.new!r}"
        step = space.step(name, change.old, change.new)
        size = ("small", "medium", "large")[sum(step > bound for bound in self.classes[:2])]
        return f"a {size} step of {name} {'up' if domain.unit(change.new) > domain.unit(change.old) else 'down'}"
