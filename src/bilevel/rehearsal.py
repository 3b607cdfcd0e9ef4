"""Rehearsal: a race on models of the task, over many seeds, against a placebo and a restart. It costs no measurement.

The models are a surrogate fitted to the search so far, where it holds enough, and a synthetic landscape. The search is
one that walks at random, since the loop's own researcher may cost money or time; so a rehearsal shows harm to search as
such, and it proves no gain. It refuses only what is worse than a placebo on one model beyond chance, and on none better
on average.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bilevel.budget import Budget, Cost
from bilevel.carrying import code_of
from bilevel.codec import content_hash, derive_seed
from bilevel.lab import Bench, Lab, MemoryStore, Traces
from bilevel.ladder import Meaningless
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, Mechanism
from bilevel.objective import Objective
from bilevel.quantiles import student
from bilevel.rules import Rule, mean
from bilevel.situations import NUMERIC, Bowl, Walk
from bilevel.space import Candidate, Derived, Space
from bilevel.surrogate import Surrogate, fit
from bilevel.task import Rung, Task
from bilevel.trace import Trace
from bilevel.trial import Climb, Run, Status
from bilevel.view import Below, View

SEEDS = 8  # on each model, per arm
TRIALS = 10  # of each search
FEW = 3  # seeds after which a race ends in which no arm was told apart
SURE = 0.95  # one-sided, of each interval
ON_RECORD, SYNTHETIC = "a surrogate of this run", "a synthetic landscape"
PLACEBO, RESTART = "placebo", "restart"


class Nothing(Mechanism):
    """The placebo: it answers what it is asked."""


class StartAgain(Mechanism):
    """The restart: from the baseline, at two thirds of the search."""

    def select(self, view: View, parent: Candidate) -> Candidate:
        baseline = view.trace.baseline
        again = view.number == 2 * TRIALS // 3 and baseline is not None and baseline.score is not None
        return baseline.candidate if again and baseline is not None else parent


CONTROLS: Mapping[str, type[Mechanism]] = {PLACEBO: Nothing, RESTART: StartAgain}


@dataclass(frozen=True)
class Modelled:
    """A task that is a model: what `truth` says, with the noise of the real one."""

    objective: Objective
    space: Space
    start: Candidate
    truth: Callable[[Candidate], float]
    sd: float
    rules: Callable[[Candidate, Candidate], list[str]]
    name: str = "rehearsal"
    brief: str = ""
    guidance: str = ""
    rungs: tuple[Rung, ...] = (Rung("full"),)
    self_reported: bool = False
    remembers: bool = False
    harness: str = "rehearsal"
    evaluations: int = 1

    def baseline(self) -> Candidate:
        return self.start

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        return self.rules(candidate, parent)

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        noise = random.Random(derive_seed("rehearsal", candidate.id, bench.seed)).gauss(0.0, self.sd)
        return Run(bench.rung, bench.seed, Status.OK, {self.objective.name: self.truth(candidate) + noise}, Cost(1))

    def evaluate(self, run: Run) -> float:
        assert run.metrics is not None
        return run.metrics[self.objective.name]

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None


@dataclass(frozen=True)
class Race:
    """A mechanism against the controls on one model: its gains over each, one per seed, in the model's unit.

    `asked`: it asked a language model, which a rehearsal answers without meaning.
    """

    where: str
    gains: Mapping[str, tuple[float, ...]]
    faults: tuple[str, ...] = ()
    asked: bool = False

    def interval(self, control: str) -> tuple[float, float]:
        """The mean gain's central 90 %, by Student's t over the seeds; one seed alone bounds nothing."""
        gains = self.gains[control]
        if len(gains) < 2:
            return -math.inf, math.inf
        middle, degrees = mean(gains), len(gains) - 1
        sd = math.sqrt(sum((gain - middle) ** 2 for gain in gains) / degrees)
        reach = student(SURE, degrees) * sd / math.sqrt(len(gains))
        return middle - reach, middle + reach

    @property
    def harmful(self) -> bool:
        """Whether it is worse than a placebo beyond chance."""
        return self.interval(PLACEBO)[1] < 0

    @property
    def sentence(self) -> str:
        seeds = len(self.gains[PLACEBO])
        parts = []
        for control, gains in self.gains.items():
            low, high = self.interval(control)
            parts.append(f"over {control} {mean(gains):+.3g} [{low:+.3g}, {high:+.3g}]")
        return f"{self.where} ({seeds} seeds of {TRIALS} trials): {', '.join(parts)}"


def climb_rehearsal(spec: LoopSpec, trace: Trace, guest: Guest) -> Climb:
    """The race of a mechanism that is in force in `spec`, on a surrogate of its task fitted to `trace` and on a
    synthetic landscape. Deterministic; nothing is measured and no model is asked."""
    began = time.process_time()
    source = content_hash(guest.source)
    if all(isinstance(domain, Derived) for domain in spec.task.space.domains.values()):
        reason = "there is no model of a task whose parameters cannot be set"
        return Climb(guest.name, source, "rehearsal", "off", reason)
    races = rehearse(spec, trace, guest)
    outcome, reason = judged(races)
    evidence = {race.where: {control: list(gains) for control, gains in race.gains.items()} for race in races}
    return Climb(guest.name, source, "rehearsal", outcome, reason, evidence, round(time.process_time() - began, 4))


def rehearse(spec: LoopSpec, trace: Trace, guest: Guest) -> list[Race]:
    """The races of a mechanism in force in `spec`: on the surrogate first, where there is one."""
    loaded: dict[str, Mechanism] = {one.name: spec.load(one) for one in code_of(spec.mechanisms)}
    model = fit(spec.task.space, trace)
    races = []
    if model is not None:
        where = f"{ON_RECORD}, off by {model.error:.2g} where scores spread by {model.spread:.2g}"
        races.append(_race(where, _modelled(spec.task, model, trace), model, code_of(spec.mechanisms), guest, loaded))
    races.append(_race(SYNTHETIC, Bowl(), _bowl, (guest,), guest, loaded))
    return races


def judged(races: Sequence[Race]) -> tuple[str, str]:
    """The outcome of the rung, and why."""
    said = "; ".join(race.sentence for race in races)
    faults = [fault for race in races for fault in race.faults]
    if faults:
        return "refused", f"it failed in rehearsal: {faults[0]}"
    if any(race.asked for race in races):
        return "passed", f"it asks a language model, which a rehearsal has not; so this says nothing of it: {said}"
    if any(race.harmful for race in races) and all(mean(race.gains[PLACEBO]) <= 0 for race in races):
        return "refused", f"it is worse than a placebo beyond chance: {said}"
    return "passed", said


def _modelled(task: Task, model: Surrogate, trace: Trace) -> Modelled:
    objective = replace(task.objective, guardrails=(), also=(), relative=False)
    return Modelled(objective, task.space, trace.current or trace[0].candidate, model, trace.noise.sd, task.problems)


def _bowl(candidate: Candidate) -> float:
    """The landscape of the rollout, without its noise; where it crashes no candidate is ever the best."""
    return sum((domain.unit(candidate.params[name]) - 0.5) ** 2 for name, domain in NUMERIC.items())


@dataclass
class _Searched:
    """What one arm found on one seed, by the model's own word; and what went wrong."""

    found: float
    faults: list[str] = field(default_factory=list)
    asked: bool = False


def _race(
    where: str, task: Any, truth: Callable[[Candidate], float], guests: tuple[Guest, ...], guest: Guest,
    loaded: Mapping[str, Mechanism],
) -> Race:  # fmt: skip
    """All arms on the same seeds. It ends early where the first of them tell no arm from another."""
    gains: dict[str, list[float]] = {control: [] for control in CONTROLS}
    faults, asked = list[str](), False
    search = partial(_search, task, truth, guests, guest)
    for seed in range(SEEDS):
        mine = search({**loaded}, seed)
        faults += [f"{fault}, on {where}" for fault in mine.faults]
        asked = asked or mine.asked
        for control, kind in CONTROLS.items():
            other = search({**loaded, guest.name: kind()}, seed)
            gains[control].append(task.objective.gain(other.found, mine.found))
        if faults or (seed + 1 >= FEW and not any(gains[PLACEBO])):
            break
    return Race(where, {control: tuple(found) for control, found in gains.items()}, tuple(faults), asked)


def _search(
    task: Any, truth: Callable[[Candidate], float], guests: tuple[Guest, ...], guest: Guest,
    loaded: Mapping[str, Mechanism], seed: int,
) -> _Searched:  # fmt: skip
    store = MemoryStore()
    spec = LoopSpec(
        "rehearsal", task, Walk(), guests, budget=Budget(trials=TRIALS), seed=derive_seed("rehearsal", seed),
        calibration=1, load=lambda one: loaded[one.name], keep=Rule("greedy"),
    )  # fmt: skip
    trace = Loop(spec, Lab(store, models={"rehearsal": Meaningless()})).run()
    best = trace.incumbent
    assert best is not None  # a model gives every candidate a score, and the landscape its baseline
    faults = [f"{f.hook}: {f.message}" for trial in trace for f in trial.faults if f.guest == guest.name]
    return _Searched(truth(best.candidate), faults, bool(store.calls()))
