"""Follow the suggestions of the surrogate manager."""

from bilevel.mechanism import Mechanism


class FollowSurrogate(Mechanism):
    """Put first what the surrogate suggests."""

    domain = "surrogate model"

    def propose(self, view, parent, proposals):
        surrogate = getattr(view, "surrogate", None)
        if surrogate is None:
            return proposals
        return sorted(proposals, key=surrogate.predict)
