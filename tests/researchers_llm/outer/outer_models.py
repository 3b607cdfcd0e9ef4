"""A model that answers by round, and views of real searches for the outer researchers."""

import functools
import json
from dataclasses import dataclass, field, replace

from bilevel.admission import allowed, door
from bilevel.budget import Budget
from bilevel.call import Reply
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.nesting import nest
from bilevel.researchers import make
from bilevel.researchers.llm_session import ModelSession
from bilevel.researchers.prompt import shipped_prompts
from bilevel.researchers.scripted import Scripted
from bilevel.surfaces import MechanismSurface, mechanism_set
from bilevel.tasks.sphere import sphere
from bilevel.view import Below, Briefing, View

STARTS = {
    "explore": "You improve a search loop",
    "critique": "A search loop is to be given",
    "specify": "Specify one mechanism",
    "generate": "Write one mechanism",
    "repair": "This mechanism was refused",
    "inert": "This mechanism ran for",
    "settings": "You steer a search",
}
TASK = sphere(dimensions=3, noise=0.01, crash=True)
EXAMPLE = shipped_prompts()["session_example"]
WANDER = """from bilevel.mechanism import Mechanism


class Wander(Mechanism):
    domain = "walks"

    def select(self, view, parent):
        return view.trace.baseline.candidate if view.trace.baseline and view.number % 2 else parent
"""
IDEAS = "1. Cool off: leave alone what failed twice.\n2. Wander: start from the baseline now and then."
CRITIQUE = {
    "ideas": [
        {"name": "Cool off", "idea": "freeze what failed twice", "failure_modes": "nothing fails twice",
         "evidence": [1, 2], "impact": 4, "feasibility": 3, "complexity": 2},
        {"name": "Wander", "idea": "start elsewhere", "impact": 2, "feasibility": 2, "complexity": 5},
    ],
    "selected": "cool_off", "reason": "it is simple",
}  # fmt: skip
PLAN = {
    "name": "CoolOff", "domain": "scheduling", "kind": "add", "target": "", "hooks": ["remember", "constrain"],
    "needs": [], "data": "the last trial", "changes": "which parameters a draft may change", "shows": "constrain",
    "parameters": [{"name": "misses", "value": 2, "meaning": "how many"}],
}  # fmt: skip
GOOD = {"explore": IDEAS, "critique": CRITIQUE, "specify": PLAN, "generate": f"```python\n{EXAMPLE}```"}


@dataclass
class Rounds:
    """Answers each round with the next of its replies, the last one again and again; texts, objects or errors."""

    replies: dict
    name: str = "fake:rounds"
    asked: list = field(default_factory=list)
    _next: dict = field(default_factory=dict)

    def complete(self, request, seed, watch):
        first = request.messages[0].text
        (what,) = [name for name, start in STARTS.items() if first.startswith(start)]
        self.asked.append((what, request))
        given = self.replies[what] if isinstance(self.replies[what], list) else [self.replies[what]]
        number = self._next.get(what, 0)
        self._next[what] = number + 1
        answer = given[min(number, len(given) - 1)]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return Reply(answer if isinstance(answer, str) else json.dumps(answer), self.name, tokens_in=10, tokens_out=5)

    def prompt(self, what, number=0):
        return [request for name, request in self.asked if name == what][number].messages[0].text

    def texts(self):
        return "\n".join(message.text for _, request in self.asked for message in request.messages)


def session(**options):
    return ModelSession(compose=mechanism_set, source="class Mechanism:\n    ...", allowed=allowed(), **options)


def searched(name="stuck", trials=16, seed=1, task=TASK):
    return Loop(LoopSpec("inner", task, make(name), budget=Budget(trials=trials), seed=seed), Lab()).run()


@functools.cache
def usual():
    return searched()


def inner(mechanisms=(), researcher="stuck", task=TASK, seed=1):
    return LoopSpec("inner", task, make(researcher), tuple(mechanisms), seed=seed)


def below_of(trace=None, task=TASK, reads_advice=False, trials=6):
    trace = usual() if trace is None else trace
    return Below(trace, task.space, reads_advice, task.objective, task.brief, trials)


def outer_view(model, spec=None, surface=None, below=None, trace=None):
    """A view of an outer loop over an inner trace, its parent, and the lab that holds the calls."""
    spec, surface = spec or inner(), surface or MechanismSurface(door)
    lab = Lab(models={"outer": model})
    level = Loop(nest(spec, surface, Scripted(), name="outer", trials=6, cycles=4), lab)
    seen = level.trace if trace is None else trace
    view: View = replace(level.view(max(len(seen), 1), seen), below=below or below_of(), brief=TASK.brief)
    return view, surface.read(spec), lab


def proposed(researcher, model, briefing=None, **about):
    view, parent, lab = outer_view(model, **about)
    return researcher.propose(view, parent, briefing or Briefing()), lab


def purposes(lab):
    return [call.purpose for call in lab.store.calls()]
