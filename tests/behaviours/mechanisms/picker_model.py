"""Of several drafts the one that a second model call picks goes first."""

import re

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import View


class PickerModel(Mechanism):
    """Show all drafts to the model and put the one that it names first; an answer without a number changes nothing."""

    domain = "model as a judge"

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if len(proposals) < 2:
            return proposals
        lines = [f"{place}: {self._changes(parent, proposal)}" for place, proposal in enumerate(proposals, 1)]
        question = f"{view.brief}\nWhich of these changes is most promising? Answer with its number.\n"
        answer = view.ask(question + "\n".join(lines), "pick a draft")
        found = re.search(r"\d+", answer)
        place = int(found[0]) - 1 if found else 0
        if not 0 <= place < len(proposals):
            return proposals
        return (proposals[place], *proposals[:place], *proposals[place + 1 :])

    def _changes(self, parent: Candidate, proposal: Proposal) -> str:
        changes = proposal.candidate.changes_from(parent)
        return ", ".join(f"{name}: {c.old!r} -> {c.new!r}" for name, c in changes.items()) or proposal.why[:200]
