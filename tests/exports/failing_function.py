"""A function of which one choice fails; worker processes import it. And a researcher that writes half a character."""

from dataclasses import dataclass

from bilevel.trial import Proposal


def loss(params):
    if params["shape"] == "broken":
        raise ValueError("no such shape")
    return {"loss": (params["rate"] - 0.01) ** 2 + params["depth"], "steps": 3.0, "seconds": 99.0}


@dataclass(frozen=True)
class Half:
    """Gives a reason that a JSON reply of a model can hold, and no file in UTF-8."""

    name: str = "half"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        return [Proposal(parent.with_params(depth=1 + view.number), "because \ud83d, said it", "a\x1b[31mb")]
