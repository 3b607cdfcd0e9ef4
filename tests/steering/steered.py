"""A run that can be halted in every phase of an iteration, and a second process that gives acts meanwhile.

`PHASES` names the moments; `AT[0]` is called with each of them and the number of the trial that it belongs to.
"""

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from bilevel.budget import Cost
from bilevel.call import Message, Reply, Request
from bilevel.errors import Stopped
from bilevel.objective import Objective
from bilevel.recipe import GateTable, Inner, Outer, Recipe
from bilevel.replay import replay
from bilevel.run import resume, start
from bilevel.space import Bool, Candidate, Float, Space
from bilevel.store.folder import RunFolder
from bilevel.surfaces import guests_of, mechanism_set
from bilevel.task import Rung
from bilevel.trial import Proposal, Run, Status, Trial

HERE = Path(__file__).parent
PHASES = ("before the ask", "while it is proposed", "while it is measured", "while it is told")
AT: list[Callable[[str, int], None]] = [lambda phase, number: None]


@dataclass(frozen=True)
class Plain:
    """A bowl in three parameters, the same for each seed."""

    name: str = "plain"
    objective: Objective = Objective("loss")
    space: Space = Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0), "z": Float(0.0, 1.0), "on": Bool(locked=True)})
    brief: str = "Find the bottom."
    guidance: str = ""
    rungs: tuple[Rung, ...] = (Rung("full"),)
    remembers: bool = False
    self_reported: bool = False
    harness: str = "plain-1"
    evaluations: int = 1

    def baseline(self) -> Candidate:
        return Candidate({"x": 0.9, "y": 0.9, "z": 0.9, "on": True})

    def problems(self, candidate, parent) -> list[str]:
        return []

    def run(self, candidate, bench) -> Run:
        AT[0]("while it is measured", bench.number)
        return Run(bench.rung, bench.seed, Status.OK, {"loss": sum(candidate.params[n] ** 2 for n in "xyz")}, Cost(1))

    def evaluate(self, run) -> float:
        return run.metrics["loss"]

    def below(self, traces, state):
        return None


@dataclass(frozen=True)
class Noisy(Plain):
    """The same, but each seed has its own luck."""

    name: str = "noisy"
    harness: str = "noisy-1"

    def run(self, candidate, bench) -> Run:
        run = super().run(candidate, bench)
        luck = random.Random(f"{candidate.id} {bench.seed}").gauss(0.0, 0.3)
        return replace(run, metrics={"loss": run.metrics["loss"] + luck})


@dataclass(frozen=True)
class Judged(Plain):
    """The same, but two threads ask a judge in each measurement."""

    name: str = "judged"
    harness: str = "judged-1"

    def run(self, candidate, bench) -> Run:
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(bench.judge, Request((Message("user", f"{candidate.id} {n}"),))) for n in range(2)]
            [one.result() for one in asked]
        return super().run(candidate, bench)


@dataclass(frozen=True)
class Steps:
    """Moves each free parameter by a draw; says in `why` what a person has told."""

    name: str = "steps"
    reads_advice: bool = True
    free: bool = True

    def propose(self, view, parent, briefing):
        if briefing.attempt == 0:
            AT[0]("while it is proposed", view.number)
        rng = view.rng(f"steps {briefing.attempt}")
        values = {name: rng.random() * 0.9 for name in view.space.active}
        return [Proposal(parent.with_params(**values), view.told)]


@dataclass(frozen=True)
class Asks(Steps):
    """The same, but asks a model twice before each step."""

    name: str = "asks"
    free: bool = False

    def propose(self, view, parent, briefing):
        for turn in range(2):
            view.call(Request((Message("user", f"trial {view.number}, turn {turn}"),)), "step")
        return Steps.propose(self, view, parent, briefing)


@dataclass(frozen=True)
class Echo:
    """A model whose answers cost 100 tokens."""

    name: str = "openai:echo"

    def complete(self, request, seed, watch) -> Reply:
        return Reply(request.messages[-1].text, self.name, tokens_in=60, tokens_out=40)


def asking(**gate) -> Recipe:
    """A recipe of one level that asks a model twice in each trial, with a gate."""
    made = recipe(4)
    inner = made.inner.model_copy(update={"researcher": "python:steered:Asks"})
    models = made.models.model_copy(update={"inner": "openai:echo", "judge": "openai:echo"})
    return made.model_copy(update={"inner": inner, "models": models, "gate": GateTable(**gate)})


def repeating(workers: int = 1, **gate) -> Recipe:
    """A recipe of one level whose baseline takes five measurements, and some trials two, with a gate."""
    made = recipe(4, workers=workers)
    inner = made.inner.model_copy(update={"calibration": 5, "keep": "race"})
    return made.model_copy(update={"task": "python:steered:Noisy", "inner": inner, "gate": GateTable(**gate)})


def recipe(trials: int = 6, cycles: int = 0, start: str = "fork", workers: int = 1, **inner) -> Recipe:
    """A recipe of one level, or, with cycles, of two: mechanisms above, forks of `trials` trials."""
    made = Inner(researcher="python:steered:Steps", trials=trials, calibration=1, keep="greedy", **inner)
    above = ()
    if cycles:
        above = (Outer(level="mechanisms", researcher="library", trials=trials, cycles=cycles, start=start),)
    return Recipe(name="steered", title="Steered", task="python:steered:Plain", inner=made, outer=above,
                  workers=workers, claim={"on": False})  # fmt: skip


class Hand:
    """A second process that runs `bilevel` commands, one after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "hand.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
        )

    def __call__(self, *args: object) -> tuple[int, str]:
        """The exit code of a command, and what it printed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([str(arg) for arg in args]), file=self.process.stdin, flush=True)
        code, text = json.loads(self.process.stdout.readline())
        return code, text

    def gives(self, *args: object) -> None:
        """Steer, and be heard."""
        code, text = self("steer", *args)
        assert code == 0, text

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@dataclass
class Once:
    """Calls `act` the first time that a phase of a trial comes."""

    phase: str
    number: int
    act: Callable[[], object]
    done: bool = False

    def __call__(self, phase: str, number: int) -> None:
        if (phase, number) == (self.phase, self.number) and not self.done:
            self.done = True
            self.act()


def halting(session, branch: str | None = "root") -> None:
    """Let the two phases be told that neither a task nor a researcher sees: on one branch, or on all."""
    hearing, store = session.hearing, session.folder.store
    attend, add_trial = hearing.attend, store.add_trial

    def attending(at: str, number: int) -> None:
        if branch in (None, at):
            AT[0]("before the ask", number)
        attend(at, number)

    def telling(at: str, trial) -> None:
        if branch in (None, at):
            AT[0]("while it is told", trial.number)
        add_trial(at, trial)

    def waiting() -> None:
        AT[0]("while it is paused", 0)  # and no time passes

    hearing.attend, store.add_trial, hearing.nap = attending, telling, waiting


def search(path: Path, made: Recipe | None, at: Callable[[str, int], None], branch: str | None = "root") -> str:
    """Run a recipe in a new folder, or go on with the run that is there; its state at the end."""
    AT[0] = at
    try:
        with (
            patch("bilevel.run.connected", lambda recipe, spec: (dict.fromkeys(("inner", "judge"), Echo()), str)),
            start(made, path) if made is not None else resume(path) as session,
        ):
            halting(session, branch)
            with contextlib.suppress(Stopped):
                session.execute()
            return str(session.folder.meta("state"))
    finally:
        AT[0] = lambda phase, number: None


def replayed(path: Path) -> int:
    """How many trials a replay of the run reproduced."""
    return replay(path).trials


@dataclass(frozen=True)
class Without:
    """A researcher of mechanisms that always wants the first one out."""

    name: str = "without"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing):
        return [Proposal(mechanism_set(guests_of(parent)[1:]), "one less")]


def recipe_named(name: str) -> Recipe:
    """The recipes that runs in a process of their own have."""
    forks = recipe(4, cycles=4, mechanisms=("tabu", "restart"))
    outer = forks.outer[0].model_copy(update={"researcher": "python:steered:Without", "proof_share": 0.0})
    return {
        "one level": recipe(6),
        "frozen": recipe(6, settings={"frozen": ("z",)}),
        "workers": recipe(6, workers=2),
        "asks": asking(tokens=300),
        "gate": recipe(6).model_copy(update={"gate": GateTable(keep=True)}),
        "repeats": repeating(evaluations=3),
        "forks": forks.model_copy(update={"outer": (outer,)}),
    }[name]


def killed(path: Path, name: str, phase: str, number: int, act: Callable[[], object]) -> None:
    """Let a run come to a phase of a trial in a process of its own, act, and kill it -9 there."""
    command = [sys.executable, str(HERE / "victim.py"), str(path), name, phase, str(number)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        act()
    finally:
        process.kill()
        process.wait(timeout=30)
        for stream in (process.stdin, process.stdout):
            stream.close()


def essence(path: Path) -> dict[str, list[Trial]]:
    """All trials of a run by branch, without the time of day of acts."""

    def timeless(trial: Trial) -> Trial:
        acts, late = (tuple(replace(act, at=0.0) for act in acts) for acts in (trial.acts, trial.late))
        return replace(trial, acts=acts, late=late, climbs=tuple(replace(climb, seconds=0.0) for climb in trial.climbs))

    folder = RunFolder.read(path)
    try:
        return {b.id: [timeless(trial) for trial in folder.store.trials(b.id)] for b in folder.store.branches()}
    finally:
        folder.close()
