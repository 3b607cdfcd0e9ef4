"""Levels: a loop as a task, nested to any depth.

Inside(surface)                         the same lens, aimed one loop deeper
LoopTask(start="fork")                  challenger and control run from the same state
LoopTask(start="continue")              as the founding paper did it: no control, biased

`nesting.nest(loop, surface, researcher)` puts one more level above a loop.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from bilevel.acts import Steering
from bilevel.answered import Answers
from bilevel.arms import Arm, Best, Control, ledger_of
from bilevel.budget import Cost
from bilevel.codec import content_hash
from bilevel.errors import InputError, Stopped
from bilevel.forking import Asked, report_of
from bilevel.lab import Bench, Branch, Traces
from bilevel.ladder import climb, climb_replay, judged
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.objective import Objective
from bilevel.rehearsal import climb_rehearsal
from bilevel.rules import mean
from bilevel.space import Candidate, Space
from bilevel.steered import barred_by, searches_mechanisms, without_retired
from bilevel.surfaces import Surface, Test
from bilevel.task import Rung
from bilevel.trace import Trace
from bilevel.trial import Climb, Run, Shadow, Trial, merge
from bilevel.view import Below


@dataclass(frozen=True)
class Inside:
    """A surface aimed one loop deeper: it reads and writes `spec.task.inner`."""

    surface: Surface

    @property
    def name(self) -> str:
        return self.surface.name

    @property
    def depth(self) -> int:
        return self.surface.depth + 1

    def space(self, spec: LoopSpec) -> Space:
        return self.surface.space(_loop_task(spec).inner)

    def read(self, spec: LoopSpec) -> Candidate:
        return self.surface.read(_loop_task(spec).inner)

    def write(self, spec: LoopSpec, candidate: Candidate) -> LoopSpec:
        task = _loop_task(spec)
        return replace(spec, task=replace(task, inner=self.surface.write(task.inner, candidate)))

    def problems(self, spec: LoopSpec, candidate: Candidate, parent: Candidate) -> list[str]:
        return self.surface.problems(_loop_task(spec).inner, candidate, parent)

    def credited(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        return self.surface.credited(candidate, parent)

    def tests(self, candidate: Candidate, parent: Candidate) -> tuple[Test, ...]:
        return self.surface.tests(candidate, parent)

    def door(self, guest: Guest) -> str | None:
        return self.surface.door(guest)


@dataclass(frozen=True)
class LoopTask:
    """A loop as a task: a candidate is a change of the loop's description, a run lets the changed loop search.

    `trials`: how many trials of the inner loop one run takes, per arm. With start "fork" the score is the gain of the
    challenger's best over the control's best, in the unit of the innermost objective; both start from the parent's end
    state with the same seeds, and the search goes on from the better end. With "continue" there is no control: the
    score is the gain over the start of the run, which shrinks as a search converges whatever is changed. `ladder`: the
    rungs that stand before the live trial, of `BEFORE_THE_TRIAL`. `controls`: further arms of a fork; the score is then
    the gain over the best of the control and those that have a guest. `wipe`: each run begins with the baseline and
    knows nothing of the runs before it, in a fork both arms with the same seeds; only right above the innermost loop.
    `stuck_after`: the first run, which has no control, goes on until the loop has been without improvement for so many
    trials, and for `stuck_share` of all its trials; where there is a share this is asked after each trial, else after
    each round of `trials`. Of draws that do not depend on each other, the last share s of them holds no new best with
    probability 1 - s however many there were (Rényi 1962, records of a sequence), so a fixed number alone calls every
    search stuck in the end.
    """

    inner: LoopSpec
    surface: Surface
    trials: int
    start: Literal["fork", "continue"] = "fork"
    ladder: frozenset[str] = frozenset(("door",))
    controls: tuple[Control, ...] = ()
    wipe: bool = False
    stuck_after: int = 0
    stuck_share: float = 0.0
    answers: Answers = field(default_factory=Answers, compare=False, repr=False)  # of the replays, each asked once
    remembers: bool = field(default=True, init=False)
    rungs: tuple[Rung, ...] = field(default=(Rung("cycle"),), init=False)

    @property
    def name(self) -> str:
        return f"{self.surface.name}({self.inner.name})"

    @property
    def objective(self) -> Objective:
        return Objective("gain", leaf(self.inner).task.objective.unit, minimize=False, relative=True)

    @property
    def space(self) -> Space:
        return self.surface.space(self.inner)

    @property
    def brief(self) -> str:
        return leaf(self.inner).task.brief

    @property
    def guidance(self) -> str:
        return leaf(self.inner).task.guidance

    @property
    def self_reported(self) -> bool:
        return leaf(self.inner).task.self_reported

    @property
    def harness(self) -> str:
        return content_hash(["loop", self.surface.name, self.start, self.trials, leaf(self.inner).task.harness])

    @property
    def evaluations(self) -> int:
        """All arms of a fork; its first run, which has no control, takes one."""
        return self.trials * self.inner.task.evaluations * (2 + len(self.controls) if self.start == "fork" else 1)

    def baseline(self) -> Candidate:
        return self.surface.read(self.inner)

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        return self.surface.problems(self.inner, candidate, parent)

    def as_steered(self, candidate: Candidate, steering: Steering) -> Candidate:
        """A set of mechanisms without those that a person retired; anything else as it is."""
        return without_retired(candidate, steering) if searches_mechanisms(self.surface) else candidate

    def barred(self, candidate: Candidate, parent: Candidate, steering: Steering) -> list[str]:
        """Why a person's word is against a set of mechanisms."""
        return barred_by(candidate, parent, steering) if searches_mechanisms(self.surface) else []

    def news(self, candidate: Candidate, parent: Candidate) -> tuple[str, ...]:
        """Names of the mechanisms that a candidate adds or changes."""
        return self.surface.credited(candidate, parent)

    def climb(self, candidate: Candidate, parent: Candidate, traces: Traces, state: str | None) -> tuple[Climb, ...]:
        """The rungs before the live trial, for each mechanism that the candidate adds or changes."""
        climbs: list[Climb] = []
        for name in self.surface.credited(candidate, parent):
            guest = Guest(name, candidate.files[name])
            replay = partial(self._replay, candidate, traces, state)
            climbs += climb(
                guest, self.surface.door, replay, partial(self._rehearse, candidate, traces, state), self.ladder
            )
        return tuple(climbs)

    def _replay(self, candidate: Candidate, traces: Traces, state: str | None, guest: Guest) -> Climb:
        spec, trace = self._aimed(candidate, traces, state)
        return climb_replay(spec, guest, trace, lambda seen: spec.task.below(traces, seen.state), self.answers)

    def _rehearse(self, candidate: Candidate, traces: Traces, state: str | None, guest: Guest) -> Climb:
        return climb_rehearsal(*self._aimed(candidate, traces, state), guest)

    def _aimed(self, candidate: Candidate, traces: Traces, state: str | None) -> tuple[LoopSpec, Trace]:
        """The loop that the surface aims at, as the levels between have left it, and its record."""
        spec, branch = standing(traces, self.surface.write(self.inner, candidate), state, self.surface.depth)
        trace = Trace(spec.task.objective) if branch is None else traces.trace(branch, spec.task.objective)
        return spec, trace

    def climbed(self, trial: Trial, trace: Trace) -> tuple[Climb, ...]:
        """What the fork of a trial, with those before, says of each mechanism that it tested."""
        data = trial.runs[-1].data if trial.runs else {}
        return tuple(judged(trial, trace, test, data) for test in data.get("tests", ()))

    def evaluate(self, run: Run) -> float:
        """The gain, in the unit of the innermost objective."""
        if run.metrics is None:
            raise ValueError("a run that failed has no score")
        return run.metrics["gain"]

    def below(self, traces: Traces, state: str | None) -> Below | None:
        """The loop that the surface aims at: the innermost one, or, on level 3, the one that searches mechanisms."""
        spec, branch, trials = self.inner, state, self.trials
        for _ in range(self.surface.depth):
            task = _loop_task(spec)
            trials, spec, branch = trials * task.trials, task.inner, _state(traces, spec, branch)
        trace = Trace(spec.task.objective) if branch is None else traces.trace(branch, spec.task.objective)
        return Below(
            trace=trace,
            space=spec.task.space,
            reads_advice=spec.researcher.reads_advice,
            objective=spec.task.objective,
            brief=trace.told.get("brief", ""),
            trials=trials if isinstance(spec.task, LoopTask) else trials * spec.task.evaluations,
        )

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Let the changed loop search, and with it the unchanged one where there is a start to fork from."""
        return self._with_arms(candidate, bench, self._search)

    def recorded(self, candidate: Candidate, bench: Bench) -> Run:
        """The run of a trial that is finished, made again from the records of its arms: nothing is searched."""
        return self._with_arms(candidate, bench, self._read)

    def _with_arms(self, candidate: Candidate, bench: Bench, arm_of: Callable[..., Arm]) -> Run:
        paired = self.start == "fork" and bench.state is not None and bench.parent is not None
        challenger = arm_of(candidate, bench, "challenger" if paired else "only")
        if not paired or bench.parent is None:
            return report_of(self._fork(candidate, bench), challenger)
        control = arm_of(bench.parent, bench, "control")
        others = {one: arm_of(bench.parent, bench, one.name, one.applied) for one in self.controls}
        return report_of(self._fork(candidate, bench), challenger, control, others)

    def _fork(self, candidate: Candidate, bench: Bench) -> Asked:
        parent = bench.parent
        return Asked(
            leaf(self.inner).task.objective,
            self._credited(candidate, parent),
            () if parent is None else self.surface.tests(candidate, parent),
            simpler=parent is not None and len(candidate.files) < len(parent.files),
        )

    def _search(
        self, candidate: Candidate, bench: Bench, arm: str, change: Callable[[LoopSpec], LoopSpec] | None = None
    ) -> Arm:
        spec, lab = self.surface.write(self.inner, candidate), bench.lab
        if change is not None:
            spec = _with_leaf(spec, change)
        if arm in ("challenger", "only"):
            spec = _watching(spec, frozenset(self._credited(candidate, bench.parent)))
        branch = self._branch(bench, arm)
        if self.wipe:
            spec = replace(spec, stream=f"cycle {bench.number}" if bench.number else "")  # else each does the same
        loop, at = Loop(spec, lab, branch), branch.at
        baseline = 1 if at == 0 and not spec.task.remembers else 0
        arms, until = 2 + len(self.controls) if arm != "only" else 1, at + baseline
        trials = self.trials
        if arm == "only" and bench.most is not None:  # a first cycle that the budget does not pay for is shorter
            left = bench.most - (leaf(spec).calibration if bench.state is None else 0)
            trials = min(trials, max(left // self.inner.task.evaluations, 1))
        while True:
            until += trials
            loop.run(until=until, most=None if bench.most is None else bench.most // arms)
            if len(loop.trace) < until:
                raise Stopped(f"stopped within {branch.id}; resume the run to finish it")
            trials = 1 if self.stuck_share else self.trials
            if arm != "only" or not self._goes_on(loop.trace.upto(until), at, bench.most, trials):
                return self._read(candidate, bench, arm)

    def _goes_on(self, trace: Trace, at: int, most: int | None, trials: int) -> bool:
        """Whether a run without a control goes on: the loop is not stuck yet, and so many more trials can be paid
        for."""
        if most is None or trace.since_improvement() >= max(self.stuck_after, self.stuck_share * len(trace)):
            return False
        spent = sum(trial.cost.evaluations for trial in trace[at:])
        return spent + trials * self.inner.task.evaluations <= most

    def _branch(self, bench: Bench, arm: str) -> Branch:
        """Where an arm's trials are; a level that wipes keeps the baseline, which need not be measured again."""
        at = 0 if bench.state is None else len(bench.lab.traces.trace(bench.state, self.inner.task.objective))
        at = min(at, 1) if self.wipe else at
        return Branch(f"{bench.branch}/{bench.number}.{arm}", self.inner.name, bench.state, at)

    def _read(self, candidate: Candidate, bench: Bench, arm: str, change: object = None) -> Arm:
        """What an arm did, from its records."""
        spec, traces, branch = self.surface.write(self.inner, candidate), bench.lab.traces, self._branch(bench, arm)
        trace, at = traces.trace(branch.id, spec.task.objective), branch.at
        start = trace.upto(at) if self.wipe else trace.upto(0)
        own, known = trace[at:], at if self.wipe else len(_leaf_trace(traces, spec, bench.state))
        return Arm(
            name=arm,
            branch=branch.id,
            before=_best(traces, spec, bench.state) if start.incumbent is None else _best_in(start),
            best=_best(traces, spec, branch.id),
            margin=_leaf_trace(traces, spec, branch.id).noise.margin,
            cost=sum((trial.cost for trial in own), Cost()),
            ledger=merge(*(ledger_of(trial) if self.surface.depth else trial.ledger for trial in own)),
            trials=tuple(_leaf_trace(traces, spec, branch.id)[known:]),
            shadows=_shadows(traces, spec, None if self.wipe else bench.state, branch.id, known if self.wipe else 0),
        )

    def _credited(self, candidate: Candidate, parent: Candidate | None) -> tuple[str, ...]:
        return () if parent is None else self.surface.credited(candidate, parent)


def leaf(spec: LoopSpec) -> LoopSpec:
    """The innermost loop."""
    while isinstance(spec.task, LoopTask):
        spec = spec.task.inner
    return spec


def levels_of(spec: LoopSpec) -> tuple[LoopSpec, ...]:
    """All loops of a nesting, the innermost first."""
    loops = [spec]
    while isinstance(spec.task, LoopTask):
        spec = spec.task.inner
        loops.append(spec)
    return tuple(reversed(loops))


def level_named(spec: LoopSpec, name: str) -> LoopSpec:
    """The loop of that name in a nesting. Raises InputError with the names there are."""
    found = {loop.name: loop for loop in levels_of(spec)}
    if name not in found:
        raise InputError(f"there is no level {name!r}; the levels are: {', '.join(found)}")
    return found[name]


def aimed_at(task: LoopTask) -> LoopSpec:
    """The loop that a level changes."""
    spec = task.inner
    for _ in range(task.surface.depth):
        spec = _loop_task(spec).inner
    return spec


def leaf_branch(traces: Traces, spec: LoopSpec, branch: str | None) -> str | None:
    """The branch on which the innermost loop stands, below a branch of `spec`; None where nothing ran yet."""
    while branch is not None and isinstance(spec.task, LoopTask):
        branch, spec = _state(traces, spec, branch), spec.task.inner
    return branch


def _state(traces: Traces, spec: LoopSpec, branch: str | None) -> str | None:
    """The branch on which the loop within stands, after what a branch of `spec` holds."""
    return None if branch is None else traces.trace(branch, spec.task.objective).state


def standing(traces: Traces, spec: LoopSpec, branch: str | None, depth: int) -> tuple[LoopSpec, str | None]:
    """The loop `depth` loops below `spec`, as the levels between have set it, and its branch below `branch`."""
    for _ in range(depth):
        task = _loop_task(spec)
        trace = Trace(task.objective) if branch is None else traces.trace(branch, task.objective)
        current = trace.current
        current = None if current is None else task.as_steered(current, trace.steering)
        spec = task.inner if current is None else task.surface.write(task.inner, current)
        branch = trace.state
    return spec, branch


def _leaf_trace(traces: Traces, spec: LoopSpec, branch: str | None) -> Trace:
    found, objective = leaf_branch(traces, spec, branch), leaf(spec).task.objective
    return Trace(objective) if found is None else traces.trace(found, objective)


def _with_leaf(spec: LoopSpec, change: Callable[[LoopSpec], LoopSpec]) -> LoopSpec:
    """The nesting with its innermost loop changed."""
    if not isinstance(spec.task, LoopTask):
        return change(spec)
    return replace(spec, task=replace(spec.task, inner=_with_leaf(spec.task.inner, change)))


def _watching(spec: LoopSpec, names: frozenset[str]) -> LoopSpec:
    """The loops of a nesting with mechanisms on trial whose advice is measured in every trial."""
    task = spec.task
    if isinstance(task, LoopTask):
        task = replace(task, inner=_watching(task.inner, names))
    return replace(spec, task=task, watched=spec.watched | names) if names else spec


def _shadows(
    traces: Traces, spec: LoopSpec, before: str | None, after: str | None, known: int = 0
) -> tuple[tuple[Shadow, ...], ...]:
    """What was asked on the side in the trials of a loop, and of the loops within, between two states of its search;
    the first `known` trials are older."""
    found: list[tuple[Shadow, ...]] = []
    while True:
        old, new = (
            Trace(spec.task.objective) if branch is None else traces.trace(branch, spec.task.objective)
            for branch in (before, after)
        )
        found += [trial.shadows for trial in new[len(old) + known :] if trial.shadows]
        if not isinstance(spec.task, LoopTask):
            return tuple(found)
        spec, before, after = spec.task.inner, old.state, new.state


def _best(traces: Traces, spec: LoopSpec, branch: str | None) -> Best:
    return _best_in(_leaf_trace(traces, spec, branch))


def _best_in(trace: Trace) -> Best:
    best = trace.incumbent
    if best is None or best.score is None or trace.rule is None:
        return Best() if best is None else Best(best.score)
    scores = trace.scores(best.candidate.id)
    return Best(mean([*scores.values()]), scores)


def _loop_task(spec: LoopSpec) -> LoopTask:
    if not isinstance(spec.task, LoopTask):
        raise InputError(f"loop {spec.name!r} is the innermost one: there is nothing inside it")
    return spec.task
