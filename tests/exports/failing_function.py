"""A function of which one choice fails; worker processes import it."""


def loss(params):
    if params["shape"] == "broken":
        raise ValueError("no such shape")
    return {"loss": (params["rate"] - 0.01) ** 2 + params["depth"], "steps": 3.0}
