"""A task whose scores are written down, and searches that try its candidates by name."""

from tiny import START, Script, TinyTask, spec_of

from bilevel.budget import Cost
from bilevel.lab import Lab, MemoryStore
from bilevel.loop import Loop
from bilevel.noise import UNKNOWN
from bilevel.rules import Rule
from bilevel.trial import Run, Status

RACE = Rule("race", 3)
SHIFTS = {"a": 2.0, "b": 1.5, "c": 1.0, "d": 0.5}  # candidates by one parameter


class Told(TinyTask):
    """A task whose scores are written down: by the value of `shift`, one for each seed. What has none fails."""

    def __init__(self, **scores) -> None:
        super().__init__()
        self.scores = {SHIFTS.get(name, START.params["shift"]): values for name, values in scores.items()}
        self.asked: list[tuple[str, int]] = []

    def run(self, candidate, bench):
        name = next((n for n, value in SHIFTS.items() if value == candidate.params["shift"]), "base")
        self.asked.append((name, bench.seed_index))
        values = self.scores[candidate.params["shift"]]
        value = values[bench.seed_index] if bench.seed_index < len(values) else None
        if value is None:
            return Run(bench.rung, bench.seed, Status.EXIT, cost=Cost(1), log="no score")
        return Run(bench.rung, bench.seed, Status.OK, {"loss": value}, Cost(1))


def told(names, *mechanisms, calibration=3, rule=None, workers=1, budget=None, store=None, noise=UNKNOWN, **scores):
    """The trace of a search that tries candidates by name, and what was run in which order."""
    task = Told(**scores)
    script = Script({n: [{"shift": SHIFTS.get(name, 2.5)}] for n, name in enumerate(names, 1)})
    spec = spec_of(
        task, script, *mechanisms, calibration=calibration, keep=rule or RACE, noise=noise, trials=len(names),
        **({} if budget is None else {"budget": budget}),
    )  # fmt: skip
    return Loop(spec, Lab(store or MemoryStore(), workers=workers)).run(), task.asked
