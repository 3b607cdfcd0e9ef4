"""Batch diversity: no two candidates of one batch are nearer to each other than a threshold."""

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Derived
from bilevel.trial import Proposal
from bilevel.view import View


class BatchDiversity(Mechanism):
    """Refuse a draft within `least` of a trial in flight, or of a draft before it; the distance is the largest step of
    any parameter. Where parameters cannot be measured (an outer loop) nothing is refused."""

    domain = "batch diversity"
    least = 0.1

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        if any(isinstance(domain, Derived) for domain in view.space.domains.values()):
            return proposals
        batch = [(f"trial {pending.number}, in flight", pending.proposal.candidate) for pending in view.pending]
        judged = []
        for place, proposal in enumerate(proposals):
            near = [who for who, other in batch if view.space.distance(proposal.candidate, other) < self.least]
            if near and not proposal.repeats:
                judged.append(proposal.drop(f"within {self.least:g} of {near[0]}: propose something else"))
                continue
            batch.append((f"draft {place + 1} of this batch", proposal.candidate))
            judged.append(proposal)
        return tuple(judged)
