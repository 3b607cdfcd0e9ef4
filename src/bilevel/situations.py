"""The situations that guests are tried in: traces of every kind, a small task, a researcher that walks at random."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bilevel.budget import Cost
from bilevel.call import Reply
from bilevel.codec import derive_seed
from bilevel.lab import Bench, Traces
from bilevel.objective import Objective
from bilevel.settings import Settings
from bilevel.space import Bool, Candidate, Choice, Derived, Domain, Float, Int, Space, Value
from bilevel.task import Rung
from bilevel.trace import Trace
from bilevel.trial import Decision, Proposal, Run, Status, Trial
from bilevel.view import Below, Briefing, View

LONG = 1_000  # trials in the long trace
RUNGS = (Rung("quick"), Rung("full"))
OBJECTIVE = Objective("loss")
NUMERIC: Mapping[str, Domain] = {
    "momentum": Float(0.0, 1.0),
    "rate": Float(1e-4, 1.0, log=True),
    "layers": Int(1, 12),
    "width": Int(8, 512, log=True),
    "batch": Int(16, 4096, power_of_two=True),
    "shape": Choice(("flat", "long", "round")),
    "pair": Choice(((0.8, 0.95), (0.9, 0.95), (0.9, 0.99))),
    "bias": Bool(),
    "edition": Int(1, 3, locked=True),
    "shift": Float(-1.0, 1.0),
    "warmup": Int(0, 100),
    "decay": Float(1e-12, 0.1, log=True),
    "heads": Choice((1, 2, 4)),
    "device": Choice(("left", "right"), locked=True),
}
BASELINE = Candidate(
    {"momentum": 0.0, "rate": 0.02, "layers": 4, "width": 64, "batch": 256, "shape": "flat", "pair": (0.8, 0.95),
     "bias": False, "edition": 1, "shift": 0.0, "warmup": 0, "decay": 1e-12, "heads": 1, "device": "left"}
)  # fmt: skip
SMALL: Mapping[str, Domain] = {"kind": Choice(("old", "new"))}
NUMERIC_WAY_OUT = 'if that cannot work, declare needs = frozenset({"numeric"})'
DERIVED: Mapping[str, Domain] = {name: Derived() for name in ("carrier", "domain", "hooks", "newest", "order")}


@dataclass(frozen=True)
class Case:
    """A situation in which every hook is tried."""

    name: str
    trace: Trace
    space: Space
    parent: Candidate
    fresh: tuple[Candidate, ...]  # candidates that were never tried
    relative: bool = False

    def upto(self, length: int) -> "Case":
        """The same situation after fewer trials."""
        trace = self.trace.upto(length)
        return replace(self, trace=trace, parent=trace.current or self.parent)


def cases(numeric_only: bool) -> Iterator[Case]:
    """All situations, small ones first; without `numeric_only` also two where no parameter can be set: an outer loop's
    and that of a task of files."""
    space = Space(NUMERIC)
    fresh = tuple(_drawn(space, f"fresh {n}") for n in range(6))
    mixed = mixed_trace(space, 40)
    yield Case("an empty trace", Trace(OBJECTIVE), space, BASELINE, fresh)
    yield Case("one trial", mixed_trace(space, 1), space, BASELINE, fresh)
    yield Case("trials that all failed", _failing(space), space, BASELINE, fresh)
    yield Case("equal scores and no noise", _flat(space), space, BASELINE, fresh)
    yield _smallest()
    yield Case("40 trials of every kind", mixed, space, mixed.current or BASELINE, fresh)
    frozen = space.freeze([name for name in space.active if name != "shape"], "a test")
    yield Case("all but one parameter frozen", mixed, frozen, mixed.current or BASELINE, fresh)
    if not numeric_only:
        yield _files()
        yield _derived()
    long = mixed_trace(space, LONG)
    yield Case(f"{LONG:,} trials", long, space, long.current or BASELINE, fresh)


def view_of(case: Case, memory: Any) -> View:
    objective = Objective("gain", minimize=False, relative=True) if case.relative else OBJECTIVE
    below = None
    if case.relative:
        below = Below(mixed_trace(Space(NUMERIC), 12), Space(NUMERIC), True, OBJECTIVE, "an inner task", trials=5)
    return View(
        number=len(case.trace),
        seed=1,
        brief="a synthetic task",
        objective=objective,
        space=case.space,
        settings=Settings(),
        trace=case.trace,
        trials_left=50,
        memory=memory,
        below=below,
        asks=lambda request, purpose, seed, repeat: Reply("an answer without any meaning", "none:none"),
        rungs=tuple(rung.name for rung in RUNGS),
    )


def _drawn(space: Space, name: str) -> Candidate:
    return space.sample(random.Random(derive_seed("conformance", name)), BASELINE)


def made_trial(
    number: int,
    parent: Candidate,
    candidate: Candidate,
    space: Space,
    status: Status = Status.OK,
    loss: float | None = None,
    keep: bool = False,
    author: str = "fixture",
) -> Trial:
    ran = status is not Status.REFUSED
    metrics = {"loss": loss} if loss is not None else None
    repeats = 3 if number == 0 and loss is not None else 1
    runs = tuple(
        Run("full", seed, status, metrics and {"loss": metrics["loss"] + 0.001 * seed}, Cost(1, 1.0))
        if status is not Status.PRUNED
        else Run("quick", 0, Status.OK, {"loss": 0.9})
        for seed in range(repeats if ran else 0)
    )
    return Trial(
        number=number,
        parent=parent,
        proposal=Proposal(candidate, "because", author),
        runs=runs,
        status=status,
        score=loss,
        decision=Decision(keep, "kept" if keep else "not better"),
        changes=candidate.changes_from(parent),
        reason="" if status is Status.OK else f"{status.value} for a test",
    )


def mixed_trace(space: Space, length: int) -> Trace:
    """Single and joint changes, successes and every kind of failure, some baselines of value 0."""
    trace = Trace(OBJECTIVE) + made_trial(0, BASELINE, BASELINE, space, loss=1.0, keep=True)
    statuses = list(Status)
    names = list(space.active)
    for number in range(1, length):
        parent = trace.current or BASELINE
        rng = random.Random(derive_seed("conformance", f"mixed {number}"))
        units = {name: rng.random() for name in names}
        some = [names[number % len(names)], *([names[(number * 7) % len(names)]] if number % 3 == 0 else [])]
        candidate = parent.with_params(**{name: space.domains[name].at(units[name]) for name in some})
        status = statuses[number // 3 % len(statuses)] if number % 3 == 2 else Status.OK
        loss = 1.0 - 0.0005 * number + 0.05 * (number % 4) if status is Status.OK else None
        keep = loss is not None and number % 4 == 0
        trace = trace + made_trial(number, parent, candidate, space, status, loss, keep)
    return trace


def _failing(space: Space) -> Trace:
    trace = Trace(OBJECTIVE)
    for number, status in enumerate(s for s in Status if s is not Status.OK):
        candidate = BASELINE if number == 0 else _drawn(space, f"failing {number}")
        trace = trace + made_trial(number, BASELINE, candidate, space, status)
    return trace


def _flat(space: Space) -> Trace:
    """One change proposed again and again with one score, 0, as if nothing mattered."""
    trace = Trace(OBJECTIVE) + made_trial(0, BASELINE, BASELINE, space, loss=0.0, keep=True)
    for number in range(1, 10):
        candidate = BASELINE.with_params(batch=512) if number % 2 else BASELINE.with_params(momentum=0.5)
        trace = trace + made_trial(number, BASELINE, candidate, space, loss=0.0)
    return trace


def _smallest() -> Case:
    """A task of one parameter with two values, both of which were tried."""
    space = Space(SMALL)
    old, new = Candidate({"kind": "old"}), Candidate({"kind": "new"})
    trace = Trace(OBJECTIVE) + made_trial(0, old, old, space, loss=1.0, keep=True)
    trace = trace + made_trial(1, old, new, space, loss=0.9, keep=True)
    return Case("a task of one parameter", trace, space, new, (old,))


def _files() -> Case:
    """The trace of a task whose candidates are files: there is no parameter."""

    def of(number: int) -> Candidate:
        return Candidate({}, {"train.py": f"steps = {number}\n"})

    trace = Trace(OBJECTIVE) + made_trial(0, of(0), of(0), Space({}), loss=1.0, keep=True)
    for number in range(1, 5):
        parent, loss = trace.current or of(0), None if number == 2 else 1.0 - 0.1 * number
        status = Status.EXIT if loss is None else Status.OK
        trace = trace + made_trial(number, parent, of(number), Space({}), status, loss, keep=number == 3)
    name = f"a task of files, which has no parameters ({NUMERIC_WAY_OUT})"
    return Case(name, trace, Space({}), trace.current or of(0), tuple(of(number) for number in range(20, 26)))


def _derived() -> Case:
    """The trace of an outer level, where parameters are features of the candidate's files."""

    def of(number: int) -> Candidate:
        name = f"m{number}"
        params: dict[str, Value] = {
            "carrier": "code", "domain": ("", "restarts")[number % 2], "hooks": ("select",), "newest": name,
            "order": (name,),
        }  # fmt: skip
        return Candidate(params, {name: f"# {number}"})

    trace = Trace(Objective("gain", minimize=False, relative=True))
    trace = trace + made_trial(0, of(0), of(0), Space(DERIVED), loss=0.0, keep=True)
    for number in range(1, 8):
        parent = trace.current or of(0)
        loss = None if number == 3 else 0.01 * number - 0.03
        status = Status.INVALID_METRIC if loss is None else Status.OK
        trace = trace + made_trial(number, parent, of(number), Space(DERIVED), status, loss, keep=number == 5)
    fresh = tuple(of(number) for number in range(20, 26))
    name = f"an outer loop, whose parameters cannot be set ({NUMERIC_WAY_OUT})"
    return Case(name, trace, Space(DERIVED), trace.current or of(0), fresh, relative=True)


@dataclass(frozen=True)
class Bowl:
    """A small task for the rollout: the squared distance from the middle; one option crashes."""

    name: str = "bowl"
    objective: Objective = OBJECTIVE
    space: Space = Space(NUMERIC)
    brief: str = "a synthetic task"
    guidance: str = ""
    rungs: tuple[Rung, ...] = RUNGS
    self_reported: bool = False
    remembers: bool = False
    harness: str = "bowl"
    evaluations: int = 1

    def baseline(self) -> Candidate:
        return BASELINE

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        return []

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        if candidate.params["shape"] == "long":
            return Run(bench.rung, bench.seed, Status.EXIT, log="the shape 'long' crashes", cost=Cost(1))
        units = [domain.unit(candidate.params[name]) for name, domain in NUMERIC.items()]
        noise = derive_seed(candidate.id, bench.seed) % 100 / 1e5
        loss = sum((unit - 0.5) ** 2 for unit in units) + noise
        return Run(bench.rung, bench.seed, Status.OK, {"loss": loss}, Cost(1))

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None

    def evaluate(self, run: Run) -> float:
        return run.metrics["loss"] if run.metrics else 0.0


@dataclass(frozen=True)
class Walk:
    """A researcher for the rollout: changes one or two parameters at random, never what was measured."""

    name: str = "walk"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        rng = view.rng(f"walk {briefing.attempt}")
        names = rng.sample(view.space.active, min(2, len(view.space.active)))
        drawn = {name: view.space.draw(rng, name, parent.params[name]) for name in names}
        return [Proposal(parent.with_params(**drawn), "a random step", self.name)]
