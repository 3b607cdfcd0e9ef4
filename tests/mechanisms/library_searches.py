"""A small task and searches of it with mechanisms of the library in force."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from bilevel.budget import Budget
from bilevel.codec import derive_seed
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.mechanisms import source
from bilevel.objective import Objective
from bilevel.researchers.scripted import Scripted
from bilevel.rules import Rule
from bilevel.settings import Settings
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.task import Rung
from bilevel.tasks.function import ONE_RUNG, FunctionTask
from bilevel.trace import Trace
from bilevel.trial import Count

SPACE = Space(
    {
        "rate": Float(0.001, 1.0, log=True),
        "decay": Float(0.0, 1.0),
        "batch": Int(16, 1024, power_of_two=True),
        "depth": Int(1, 9),
        "shape": Choice(("flat", "round", "long")),
        "bias": Bool(),
        "edition": Int(1, 3, locked=True),
    }
)
START = Candidate({"rate": 0.1, "decay": 0.5, "batch": 128, "depth": 5, "shape": "flat", "bias": False, "edition": 1})
TWO_RUNGS = (Rung("quick", {"quick": True}), Rung("full"))


def loss(params: Mapping[str, object], seed: int, quick: bool = False) -> float:
    """The squared distance from rate at a fifth of its range, decay 0.1 and depth 7; the shape "long" crashes, and a
    decay above 0.9 diverges."""
    if params["shape"] == "long":
        raise ValueError("shape 'long' does not fit")
    if params["decay"] > 0.9:
        return float("nan")
    away = (SPACE.domains["rate"].unit(params["rate"]) - 0.2) ** 2 + (params["decay"] - 0.1) ** 2
    return away + 0.01 * abs(params["depth"] - 7) + 0.05 * (params["shape"] != "round") + (1.0 if quick else 0.0)


def noisy(params: Mapping[str, object], seed: int) -> float:
    """The same with noise of sd 0.02 that depends on the candidate and the seed."""
    shown = sorted((name, str(value)) for name, value in params.items())
    return loss(params, seed) + random.Random(derive_seed("noise", shown, seed)).gauss(0.0, 0.02)


def task(function=loss, rungs=ONE_RUNG, space=SPACE) -> FunctionTask:
    return FunctionTask("small", function, space, START, Objective("loss"), "a small task", rungs)


@dataclass(frozen=True)
class Listening(Scripted):
    """A scripted researcher that is free, reads advice, and writes down what it was told first for each trial (it is
    asked again without the advice, for the ledger)."""

    told: dict[int, str] = field(default_factory=dict)
    reads_advice: bool = True

    def propose(self, view, parent, briefing):
        self.told.setdefault(view.number, "\n".join(block.text for block in briefing.blocks))
        return super().propose(view, parent, briefing)


def search(
    researcher, name, trials, function=loss, rungs=ONE_RUNG, calibration=1, workers=1, seed=3, drafts=1,
    others=(), rungs_=None, **parameters,
) -> Trace:  # fmt: skip
    """The trace of a search with one mechanism of the library in force, and `others` before it; no faults allowed.

    `rungs` are the task's, `rungs_` the parameter of that name.
    """
    parameters |= {} if rungs_ is None else {"rungs": rungs_}
    if isinstance(researcher, tuple | list):
        researcher = Scripted(tuple(researcher))
    guests = (*others, Guest(name, source(name, **parameters)))
    spec = LoopSpec(
        "inner", task(function, rungs), researcher, guests, Settings(drafts=drafts), Budget(trials=trials), seed=seed,
        calibration=calibration, keep=Rule("margin"),
    )  # fmt: skip
    trace = Loop(spec, Lab(workers=workers)).run()
    assert [fault for trial in trace for fault in trial.faults] == []
    return trace


def count(trace: Trace, name: str, hook: str) -> Count:
    return trace.ledger()[name][hook]
