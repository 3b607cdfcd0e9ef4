"""Keep the ratio of batch size to learning rate."""

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class LinearScalingRule(Mechanism):
    """Whenever a draft changes the batch size, scale the learning rate with it."""

    domain = "scaling rules"

    def propose(self, view, parent, proposals):
        scaled = []
        for proposal in proposals:
            ratio = proposal.candidate.params["TOTAL_BATCH_SIZE"] / parent.params["TOTAL_BATCH_SIZE"]
            rate = parent.params["MATRIX_LR"] * ratio**0.5
            scaled.append(Proposal(proposal.candidate.with_params(MATRIX_LR=rate), proposal.why))
        return scaled
