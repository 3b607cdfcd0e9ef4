"""Mutate one parameter of each draft."""

from bilevel.mechanism import Mechanism
from bilevel.trial import Proposal


class Mutation(Mechanism):
    """Replace one value of each draft by a random one."""

    domain = "evolution"

    def propose(self, view, parent, proposals):
        rng = view.rng("mutation")
        mutated = []
        for proposal in proposals:
            name = rng.choice(view.space.active)
            child = proposal.candidate.copy()
            child.params[name] = view.space.domains[name].sample(rng)
            mutated.append(Proposal(child, proposal.why))
        return mutated
