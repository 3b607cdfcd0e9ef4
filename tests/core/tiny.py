"""A tiny task, tiny researchers and tiny mechanisms: real ones, only small."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from bilevel.budget import Budget, Cost
from bilevel.codec import derive_seed
from bilevel.lab import Bench, Branch, Lab, MemoryStore, RunKey
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, Mechanism
from bilevel.objective import Objective
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.task import Rung
from bilevel.trace import Trace
from bilevel.trial import Pending, Proposal, Run, Status, Trial

SPACE = Space(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "shift": Float(-2.0, 3.0),
        "batch": Int(16, 1024, power_of_two=True),
        "depth": Int(1, 12),
        "shape": Choice(("flat", "round", "long")),
        "bias": Bool(),
        "edition": Int(1, 3, locked=True),
    }
)
START = Candidate({"rate": 0.9, "shift": 2.5, "batch": 1024, "depth": 8, "shape": "flat", "bias": False, "edition": 1})


@dataclass
class TinyTask:
    """A sum of squares on unit scales with noise by seed; a depth of 12 crashes. `hurdles` are met before each run."""

    noise: float = 0.0
    space: Space = SPACE
    start: Candidate = START
    minimize: bool = True
    rungs: tuple[Rung, ...] = (Rung("full"),)
    name: str = "tiny"
    brief: str = "Make it small."
    guidance: str = ""
    self_reported: bool = False
    remembers: bool = False
    harness: str = "tiny-1"
    evaluations: int = 1
    calls: list[str] = field(default_factory=list)

    @property
    def objective(self) -> Objective:
        return Objective("loss", minimize=self.minimize)

    def baseline(self) -> Candidate:
        return self.start

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        return ["files are not allowed"] if candidate.files else []

    def loss(self, candidate: Candidate) -> float:
        p, s = candidate.params, self.space.domains
        loss = sum((s[n].unit(p[n]) - 0.3) ** 2 for n in ("rate", "shift", "batch", "depth"))
        return loss + 0.1 * (p["shape"] != "round") + 0.1 * (not p["bias"])

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        self.calls.append(candidate.id)
        if candidate.params["depth"] == 12:
            return Run(bench.rung, bench.seed, Status.EXIT, cost=Cost(1), log="it crashed\nToo deep")
        noise = derive_seed("noise", candidate.id, bench.seed) / 2**31 - 0.5
        loss = self.loss(candidate) + self.noise * noise
        return Run(bench.rung, bench.seed, Status.OK, {"loss": loss if self.minimize else -loss}, Cost(1))

    def evaluate(self, run: Run) -> float:
        assert run.metrics is not None
        return run.metrics["loss"]

    def below(self, traces, state):
        return None


@dataclass(frozen=True)
class Draws:
    """Proposes candidates drawn at random; shows what it was told in `why`."""

    name: str = "draws"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing) -> Sequence[Proposal]:
        rng = view.rng(f"draws {briefing.attempt}")
        wide = 3 if view.settings.strategy == "explore" else 1
        made = []
        for _ in range(view.settings.drafts):
            names = rng.sample(view.space.active, min(wide, len(view.space.active)))
            values = {n: view.space.draw(rng, n, parent.params[n]) for n in names}
            if self.reads_advice and any("round" in block.text for block in briefing.blocks):
                values["shape"] = "round"
            told = f"{view.settings.strategy}|{briefing.guidance}|{briefing.history_window}|{len(briefing.turned_back)}"
            made.append(Proposal(parent.with_params(**values), told))
        return made


@dataclass(frozen=True)
class Script:
    """Proposes what it was given, by trial number; the same again when it is asked again."""

    lists: dict
    name: str = "script"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing) -> Sequence[Proposal]:
        given = self.lists.get(view.number, [])
        return [Proposal(parent.with_params(**item)) if isinstance(item, dict) else item for item in given]


@dataclass(frozen=True)
class Sources:
    """A researcher for an outer loop: adds the given sources one by one."""

    sources: tuple[str, ...]
    name: str = "sources"
    reads_advice: bool = False
    free: bool = True

    def propose(self, view, parent, briefing) -> Sequence[Proposal]:
        from bilevel.surfaces import guests_of, mechanism_set

        source = self.sources[(view.number - 1) % len(self.sources)]
        return [Proposal(mechanism_set((*guests_of(parent), Guest(f"m{view.number}", source))), "one more")]


def made(*mechanisms: Mechanism) -> dict:
    """`mechanisms=` and `load=` of a spec, for mechanisms that exist as objects; their names are their classes'."""
    table = {type(mechanism).__name__: mechanism for mechanism in mechanisms}
    return {"mechanisms": tuple(Guest(name, "") for name in table), "load": lambda guest: table[guest.name]}


def spec_of(task=None, researcher=None, *mechanisms: Mechanism, trials: int = 8, **options) -> LoopSpec:
    if mechanisms:
        options |= made(*mechanisms)
    options.setdefault("budget", Budget(trials=trials))
    return LoopSpec("inner", task or TinyTask(), researcher or Draws(), **options)


def search(spec: LoopSpec, workers: int = 1, store=None) -> Trace:
    return Loop(spec, Lab(store or MemoryStore(), workers=workers)).run()


def count_of(trace: Trace, name: str, hook: str):
    from bilevel.trial import Count

    return trace.ledger().get(name, {}).get(hook, Count())


class Killed(BaseException):
    """The process is gone."""


class Mortal(MemoryStore):
    """A store whose process dies right before or right after its n-th write; what was written stays."""

    def __init__(self) -> None:
        super().__init__()
        self.writes, self.die_at, self.after = count(1), None, False

    def revive(self, die_at: int | None, after: bool = False) -> None:
        self.writes, self.die_at, self.after = count(1), die_at, after

    def _write(self, write) -> None:
        number = next(self.writes)
        if number == self.die_at and not self.after:
            raise Killed
        write()
        if number == self.die_at:
            raise Killed

    def add_pending(self, branch_id: str, pending: Pending) -> None:
        self._write(lambda: super(Mortal, self).add_pending(branch_id, pending))

    def add_trial(self, branch_id: str, trial: Trial) -> None:
        self._write(lambda: super(Mortal, self).add_trial(branch_id, trial))

    def add_run(self, key: RunKey, run: Run) -> None:
        self._write(lambda: super(Mortal, self).add_run(key, run))

    def open_branch(self, branch: Branch) -> None:
        if branch.id in self._branches:
            return
        self._write(lambda: super(Mortal, self).open_branch(branch))


def dies_everywhere(spec: LoopSpec, workers: int = 1):
    """For each write: a store of a run that died there and was resumed to the end; then one that died at each write."""
    whole = Mortal()
    Loop(spec, Lab(whole, workers=workers)).run()
    writes = next(whole.writes) - 1
    for die_at in range(1, writes + 1):
        for after in (False, True):
            store = Mortal()
            store.revive(die_at, after)
            with contextlib.suppress(Killed):
                Loop(spec, Lab(store, workers=workers)).run()
            store.revive(None)
            Loop(spec, Lab(store, workers=workers)).run()
            yield store
    store, alive = Mortal(), False
    for _ in range(10 * writes):
        store.revive(1, after=True)
        try:
            Loop(spec, Lab(store, workers=workers)).run()
        except Killed:
            continue
        alive = True
        break
    assert alive
    yield store


def trace_in(store, objective, branch: str = "root") -> Trace:
    return Lab(store).traces.trace(branch, objective)


@dataclass
class Reordered(TinyTask):
    """Runs end in an order of their own: of each pair in flight the first waits until the second has ended."""

    width: int = 2
    ended: dict = field(default_factory=dict)
    started: object = field(default_factory=lambda: count(0))
    lock: object = field(default_factory=threading.Lock)

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        run = super().run(candidate, bench)
        with self.lock:
            number = bench.number
            mine = self.ended.setdefault(number, threading.Event())
            partner = number + 1 if number % 2 else None  # odd trials wait for the even one after them
            other = self.ended.setdefault(partner, threading.Event()) if partner else None
        if other is not None and number + 1 <= self.width_of_run:
            assert other.wait(timeout=20), f"trial {partner} was never run beside trial {number}"
        mine.set()
        return run

    width_of_run: int = 8


def guest(name: str, body: str) -> Guest:
    """A mechanism from the text of its class body."""
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    head = "from dataclasses import replace\nfrom bilevel.mechanism import Mechanism\nfrom bilevel.trial import *\n"
    return Guest(name, f"{head}class M(Mechanism):\n{lines}\n")
