"""A debate: critics say which draft is weakest, each from one side, and a synthesis picks the one to try first.

Source: Y. Du, S. Li, A. Torralba, J. B. Tenenbaum, I. Mordatch, "Improving Factuality and Reasoning in Language Models
through Multiagent Debate", 2023, arXiv:2305.14325.
"""

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import View


class Debate(Mechanism):
    """Three critics and one synthesis over the drafts of a trial; the draft that is named runs before the others.

    It asks the level's language model, four times for each trial with two drafts or more, and never where there is but
    one. The critics see each draft's reason and what the last `told` trials came to. Where the synthesis names no draft
    by its number, the drafts stay as they were.
    """

    domain = "outer levels"
    told = 6
    critics = ("novelty", "risk", "cost")

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        drafts = [draft for draft in proposals if not draft.dropped]
        if len(drafts) < 2:
            return proposals
        listed = "\n".join(f"{number}. {draft.why[:400]}" for number, draft in enumerate(drafts, 1))
        asked = f"{self._history(view)}The drafts for the next trial:\n{listed}\n\n"
        said = [
            f"The critic of {side}: " + view.ask(f"{asked}{self._critic(side)}", f"critic of {side}")[:600]
            for side in self.critics
        ]
        weigh = "Weigh what they say. Answer with the number of the draft to try first."
        answer = view.ask("\n".join([asked, *said, "", weigh]), "synthesis")
        chosen = next((word for word in answer.replace(".", " ").split() if word.isdigit()), "0")
        if not 1 <= int(chosen) <= len(drafts):
            return proposals
        first = drafts[int(chosen) - 1]
        return (first, *(draft for draft in proposals if draft is not first))

    def _critic(self, side: str) -> str:
        return f"You are a critic of {side}. Which draft is the weakest in {side}, and why? Two sentences."

    def _history(self, view: View) -> str:
        trials = [trial for trial in view.trace[-self.told :] if trial.number > 0]
        lines = [
            f"- {one.proposal.why[:200]}: {'kept' if one.decision.keep else 'discarded'}, {one.decision.reason[:200]}"
            for one in trials
        ]
        return "What was tried last:\n" + "\n".join(lines) + "\n\n" if lines else ""
