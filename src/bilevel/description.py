"""The description of a loop, and what its guests may know of a trial by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bilevel.acts import UNSTEERED, Steering
from bilevel.budget import Budget
from bilevel.call import Ask
from bilevel.codec import derive_seed
from bilevel.guards import ALL, Guards
from bilevel.mechanism import Guest, Mechanism, load
from bilevel.noise import UNKNOWN, Noise
from bilevel.researcher import Researcher
from bilevel.rules import Rule
from bilevel.settings import Settings
from bilevel.space import Space
from bilevel.task import Task
from bilevel.trace import Trace
from bilevel.view import Below, View


@dataclass(frozen=True)
class LoopSpec:
    """The description of a loop: everything that decides what it does, and nothing that it has done.

    `name` is the level's name. `rung` is the top rung, the one that scores (the task's last if empty). `calibration`:
    on how many seeds the baseline is measured, to know the noise. `noise`: what is known of it before; None: only
    what these seeds say counts, as in older versions. `lessons_every`: after so many trials a researcher
    that learns is asked for lessons (0 is never). `shadow`: in which share of the trials a researcher that costs
    something is asked once more per mechanism that gives advice, to see whether the advice mattered; for the mechanisms
    that are `watched`, those on trial, it is in all of them. `stream`: another one gives guests other random numbers
    with the same evaluation seeds. `guards`: what the host does beside the mechanisms. `keep`: the keep rule; None is a
    margin that each trial's own score must pass, as it was before there was a choice. A loop whose task is a loop has a
    rule of its own. `target`: the loop has converged once the best has held this score after three trials in a row.
    """

    name: str
    task: Task
    researcher: Researcher
    mechanisms: tuple[Guest, ...] = ()
    settings: Settings = field(default_factory=Settings)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    rung: str = ""
    calibration: int = 3
    noise: Noise | None = UNKNOWN
    lessons_every: int = 0
    shadow: float = 0.0
    stream: str = ""
    watched: frozenset[str] = frozenset()
    guards: Guards = ALL
    load: Callable[[Guest], Mechanism] = load
    keep: Rule | None = Rule()
    target: float | None = None

    @property
    def rule(self) -> Rule | None:
        """The keep rule in force."""
        return None if self.task.remembers or self.task.objective.relative else self.keep

    @property
    def rules(self) -> int:
        """The version of the rules by which trials are decided: see `Rule`."""
        return 1 if self.keep is None else self.keep.version

    @property
    def top(self) -> str:
        return self.rung or self.task.rungs[-1].name


def host_space(spec: LoopSpec, steering: Steering = UNSTEERED) -> Space:
    """The task's space, with what the settings freeze frozen, and what a person does."""
    space = spec.task.space
    for name, reason in spec.settings.frozen.items():
        if name not in steering.freed:
            space = space.freeze([name], f"settings ({reason})")
    for name, reason in steering.frozen.items():
        if name in space.domains:
            space = space.freeze([name], f"steering ({reason})")
    return space


def budget_of(spec: LoopSpec, steering: Steering) -> Budget:
    """The loop's budget, or what a person put in its place."""
    return replace(spec.budget, **steering.budget)


def view_for(
    spec: LoopSpec, space: Space, number: int, trace: Trace, told: Mapping[str, str], below: Below | None,
    asks: Ask | None,
) -> View:  # fmt: skip
    """What guests of a loop may know of trial `number` after `trace`."""
    limit, words = budget_of(spec, trace.steering).trials, {**trace.told, **told}
    rungs = tuple(rung.name for rung in spec.task.rungs)
    return View(
        number=number,
        seed=derive_seed(spec.seed, "stream", spec.stream) if spec.stream else spec.seed,
        brief=words.get("brief", ""),
        objective=spec.task.objective,
        space=space,
        settings=spec.settings,
        trace=trace,
        trials_left=None if limit is None else max(limit - number + 1, 0),
        below=below,
        told="\n".join(text for text in (words.get("guidance", ""), *trace.steering.guidance) if text),
        lessons=trace.lessons,
        asks=asks,
        rungs=rungs[: rungs.index(spec.top) + 1],
    )
