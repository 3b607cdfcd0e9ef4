"""Mechanisms for the tests of the sandbox's proxies, a task with files, and a channel without a process."""

import json
import textwrap
from dataclasses import dataclass, field, replace

from bilevel.call import Reply
from bilevel.mechanism import Guest
from bilevel.sandbox.guest_side import GuestSide
from bilevel.situations import BASELINE, Bowl
from bilevel.space import Candidate
from bilevel.trial import Proposal

HEAD = """
from dataclasses import replace
from bilevel.mechanism import Mechanism
from bilevel.space import Candidate, Float, Space
from bilevel.trial import Decision, Proposal, Step
from bilevel.view import Block, Briefing
"""


def guest(name, body, head=""):
    """A mechanism from the text of its class body."""
    return Guest(name, f"{HEAD}{textwrap.dedent(head)}\nclass Rule(Mechanism):\n{textwrap.indent(body, '    ')}\n")


TABU = guest(
    "tabu_memory",
    """
tenure = 12
def remember(self, memory, trial):
    return ((*(memory or ()), *sorted(trial.changes)))[-self.tenure:] if trial.changes else memory
def constrain(self, view, space):
    busy = [name for name in space.active if (view.memory or ()).count(name) > 1]
    return space.freeze(busy[:3], "tabu") if len(busy) < len(space.active) else space
def propose(self, view, parent, proposals):
    last = (view.memory or ("",))[-1]
    return [p.drop(f"{last} again") if set(p.candidate.changes_from(parent)) == {last} else p for p in proposals]
""",
)
NUMPY = guest(
    "gp",
    """
needs = frozenset({"numeric"})
domain = "gaussian process"
def remember(self, memory, trial):
    if trial.score is None:
        return memory
    row = tuple(float(v) for v in trial.candidate.params.values() if isinstance(v, float))
    return (*(memory or ()), (row, float(np.float64(trial.score))))
def propose(self, view, parent, proposals):
    known = view.memory or ()
    if len(known) < 4:
        return proposals
    x, y = np.array([row for row, _ in known]), np.array([score for _, score in known])
    kernel = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 0.1)
    weights = np.linalg.solve(kernel(x, x) + 1e-2 * np.eye(len(x)), y - y.mean())
    rng = np.random.default_rng(view.rng("gp").randrange(2**31))
    points = rng.random((64, x.shape[1]))
    best = points[np.argmin(kernel(points, x) @ weights)]
    names = [n for n in view.space.active if isinstance(view.space.domains[n], Float)]
    changes = {n: view.space.clip(n, parent.params[n], view.space.domains[n].at(u)) for n, u in zip(names, best)}
    mine = Proposal(parent.with_params(**changes), "the model's best", notes={"mean": y.mean(), "n": len(x)})
    return (mine, *proposals) if view.trace.of(mine.candidate.id) is None else proposals
def plan(self, view, proposal, partial, steps):
    return [Step("quick"), *steps] if not partial and view.number % 5 == 0 else steps
def decide(self, view, trial):
    return Decision(view.number % 7 == 0, "by turns") if trial.score is not None else trial.decision
""",
    "import numpy as np",
)
ASKER = guest(
    "asker",
    """
def advise(self, view, briefing):
    return briefing.with_block("asker", view.ask(f"what now, at {view.number}?", "advice"))
def propose(self, view, parent, proposals):
    word = view.ask(f"which of {len(proposals)}", "choice")
    return tuple(replace(p, why=f"{p.why}: {word}") for p in proposals)
""",
)
BELOW = guest(
    "reads_below",
    """
def remember(self, memory, trial):
    return {**(memory or {}), trial.candidate.id: trial.score}
def propose(self, view, parent, proposals):
    below = view.below
    inner = len(below.trace), below.trace.incumbent.score, below.trials, sorted(below.space.active)[0], below.brief
    return [replace(p, why=f"{p.why} {inner} {len(view.memory)} {view.objective.relative}") for p in proposals]
def select(self, view, parent):
    return view.trace.incumbent.candidate if view.number % 2 and view.trace.incumbent else parent
""",
)
FILES = guest(
    "reads_files",
    """
def propose(self, view, parent, proposals):
    text = parent.files["notes.txt"]
    grown = Candidate(parent.params, {**parent.files, "notes.txt": text + f"{view.number}\\n"})
    moved = parent.with_params(momentum=min(1.0, parent.params["momentum"] + 0.01))
    known = view.trace.of(moved.id) is not None
    own = [Proposal(grown, f"{len(text)} characters", notes={"files": sorted(parent.files)})]
    return (*own, *proposals) if view.number % 2 else (*proposals, Proposal(moved, f"{known}"))
def advise(self, view, briefing):
    before = view.trace.last.parent if view.trace.last else view.trace.current
    changed = view.trace.current.files_changed_from(before)
    return replace(briefing, guidance=f"{changed}", blocks=(Block("files", "x", len(changed)),))
""",
)
STATEFUL = (TABU, NUMPY, FILES)


@dataclass(frozen=True)
class FileBowl(Bowl):
    """The bowl with files: each character of the notes makes it a little better."""

    name: str = "file bowl"

    def baseline(self):
        return Candidate(BASELINE.params, {"notes.txt": "start\n" * 50, "main.py": "print(1)\n" * 100})

    def run(self, candidate, bench):
        run = super().run(candidate, bench)
        if run.metrics is None:
            return run
        return replace(run, metrics={"loss": run.metrics["loss"] - 0.01 * len(candidate.files["notes.txt"])})


@dataclass
class Model:
    """A model that answers by what it is asked and the seed, and counts how often; or fails as it is told."""

    name: str = "test:model"
    failure: Exception | None = None
    asked: list = field(default_factory=list)

    def complete(self, request, seed, watch):
        self.asked.append(request.messages[-1].text)
        if self.failure is not None:
            raise self.failure
        return Reply(f"answer {seed % 7} to {request.messages[-1].text!r}", self.name, tokens_in=3, money=0.1)


def proposals_of(*candidates):
    return tuple(Proposal(candidate, "an idea", "test") for candidate in candidates)


class Loopback:
    """A channel to a guest's side in this process: all that travels is JSON text, and is counted."""

    def __init__(self, modules=()):
        self.modules = modules
        self.texts = []
        self.questions = []
        self.side = GuestSide()

    def call(self, request, ask=None):
        def asked(question):
            self.questions.append(question)
            return _over(ask(_over(question)))

        self.texts.append(json.dumps(request))
        return _over(self.side.handle(json.loads(self.texts[-1]), asked))

    def close(self):
        self.side = GuestSide()


class Channels(list):
    """Makes loopback channels and keeps them; fits `Sandbox(start=...)`."""

    def __call__(self, modules):
        self.append(Loopback(modules))
        return self[-1]


def _over(value):
    return json.loads(json.dumps(value))
