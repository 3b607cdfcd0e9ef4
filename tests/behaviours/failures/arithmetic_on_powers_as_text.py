"""Distance between power-of-two values."""

from bilevel.mechanism import Mechanism


def _exponent(value):
    base, exponent = value.split("**")
    return int(exponent) if int(base) == 2 else 0


class PowerSteps(Mechanism):
    """Refuse drafts that move a power of two by more than two octaves."""

    domain = "trust region"

    def propose(self, view, parent, proposals):
        judged = []
        for proposal in proposals:
            changes = proposal.candidate.changes_from(parent)
            far = [n for n, c in changes.items() if abs(_exponent(c.new) - _exponent(c.old)) > 2]
            judged.append(proposal.drop(f"{far[0]} moves too far") if far else proposal)
        return judged
