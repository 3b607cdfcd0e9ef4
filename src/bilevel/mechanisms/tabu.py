"""Tabu search: no draft may come near what was tried a short while ago.

Source: F. Glover, "Tabu Search, Part I", ORSA Journal on Computing 1(3), 1989, doi:10.1287/ijoc.1.3.190.
"""

import re

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Derived, Value
from bilevel.trial import Proposal, Trial
from bilevel.view import View

NUMBER = re.compile(r"-?\b\d+(\.\d+)?\b")


class Tabu(Mechanism):
    """Refuse drafts near recently tried ones.

    A draft is refused if it changes the same parameters as one of the last `tenure` trials that ran, each to within
    `distance` (a share of the parameter's range) of a forbidden value: the value that a discarded trial tried, or the
    value that a kept trial left behind. Unchanged parameters never count, so a small change is not near everything.

    Where all parameters are derived, as on a loop that searches mechanisms, a candidate is its files. There a draft is
    refused if it changes the same files to the same texts, whatever numbers stand in these: so a mechanism that was
    discarded does not come again with other constants, or into another set, for `tenure` trials.
    """

    domain = "tabu search"
    tenure = 8
    distance = 0.04

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        recent = [trial for trial in view.trace[-self.tenure :] if trial.runs and trial.changes]
        return tuple(self._judged(view, parent, proposal, recent) for proposal in proposals)

    def _judged(self, view: View, parent: Candidate, proposal: Proposal, recent: list[Trial]) -> Proposal:
        if proposal.repeats or proposal.dropped:
            return proposal
        if view.space.domains and all(isinstance(domain, Derived) for domain in view.space.domains.values()):
            return self._judged_by_files(parent, proposal, recent)
        changed = {name: change.new for name, change in proposal.candidate.changes_from(parent).items()}
        if not changed or self._tells_by_its_files(view, parent, proposal, changed):
            return proposal
        for trial in reversed(recent):
            if self._near(view, changed, trial):
                names = ", ".join(changed)
                return proposal.drop(
                    f"too near trial {trial.number}, which changed {names} likewise; "
                    f"tabu for {self.tenure} trials: change something else, or much farther"
                )
        return proposal

    def _judged_by_files(self, parent: Candidate, proposal: Proposal, recent: list[Trial]) -> Proposal:
        moved = self._moved(proposal.candidate, parent)
        for trial in reversed(recent):
            new, old = (trial.parent, trial.candidate) if trial.decision.keep else (trial.candidate, trial.parent)
            if moved and moved == self._moved(new, old):
                did = "it takes back" if trial.decision.keep else "but for its numbers the same as"
                names = ", ".join(moved)
                return proposal.drop(f"{did} trial {trial.number} ({names}); tabu for {self.tenure} trials")
        return proposal

    def _moved(self, new: Candidate, old: Candidate) -> dict[str, str]:
        """By the name of each file that differs its new text without numbers, empty where it is taken away."""
        return {name: NUMBER.sub("0", new.files.get(name, "")) for name in new.files_changed_from(old)}

    def _near(self, view: View, changed: dict[str, Value], trial: Trial) -> bool:
        forbidden = {name: c.old if trial.decision.keep else c.new for name, c in trial.changes.items()}
        if forbidden.keys() != changed.keys():
            return False
        return all(view.space.step(name, value, forbidden[name]) <= self.distance for name, value in changed.items())

    def _tells_by_its_files(self, view: View, parent: Candidate, proposal: Proposal, changed: dict[str, Value]) -> bool:
        """Whether files make the difference, so that equal parameters do not mean an equal idea."""
        derived = all(isinstance(view.space.domains[name], Derived) for name in changed if name in view.space.domains)
        unknown = any(name not in view.space.domains for name in changed)
        return unknown or (not derived and bool(proposal.candidate.files_changed_from(parent)))
