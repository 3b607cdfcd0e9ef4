"""Real views with real traces, and a model that gives the answers of a list."""

import json
from dataclasses import replace

from bilevel.budget import Cost
from bilevel.call import Reply
from bilevel.keep import keep_by_default
from bilevel.objective import Objective
from bilevel.researchers.llm_inner import ModelResearcher
from bilevel.settings import Settings
from bilevel.space import Bool, Candidate, Choice, Float, Int, Space
from bilevel.trace import Trace
from bilevel.trial import Decision, Proposal, Run, Status, Trial
from bilevel.view import Briefing, View

OBJECTIVE = Objective("loss", "nats")
SPACE = Space(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "batch": Int(16, 1024, power_of_two=True),
        "depth": Int(1, 12),
        "shape": Choice(("flat", "round", "long")),
        "pair": Choice(((0.8, 0.95), (0.9, 0.95))),
        "bias": Bool(),
        "edition": Int(1, 3, locked=True),
    }
)
START = Candidate(
    {"rate": 0.1, "batch": 64, "depth": 4, "shape": "flat", "pair": (0.8, 0.95), "bias": False, "edition": 1}
)
SOURCE = '''"""A program."""

WIDTH = 2**4  # channels
CAP = 15.0


def first(x):
    return x + WIDTH


def second(x):
    return first(x) * 2
'''
FILE_SPACE = Space({"WIDTH": Int(1, 64), "CAP": Choice((15.0,), locked=True)})
FILE_START = Candidate({"WIDTH": 16, "CAP": 15.0})
FILES = {"main.py": SOURCE}
SLIP = """step 1
Traceback (most recent call last):
  File "main.py", line 8, in first
NameError: name 'y' is not defined
"""


def trial_of(
    trace, candidate, score=1.0, *, status=Status.OK, parent=None, author="llm", why="", notes=None, reason="", log="",
    seeds=1, **more
):  # fmt: skip
    """The next trial of a trace, judged by the default rule. `score` may be a list, one per seed."""
    parent = parent or trace.current or candidate
    scores = score if isinstance(score, list) else [score] * seeds
    ok = status is Status.OK
    runs = () if status is Status.REFUSED else tuple(
        Run("full", seed, status, {"loss": value} if ok else None, Cost(1), log) for seed, value in enumerate(scores)
    )  # fmt: skip
    trial = Trial(
        number=len(trace),
        parent=parent,
        proposal=Proposal(candidate, why, author if len(trace) else "baseline", notes or {}),
        runs=runs,
        status=status,
        score=sum(scores) / len(scores) if ok else None,
        decision=Decision(False, ""),
        changes=candidate.changes_from(parent),
        reason=reason,
        **more,
    )
    return replace(trial, decision=keep_by_default(trace, trial))


def begun(start=START, noise=0.01, objective=OBJECTIVE):
    """A trace with its baseline only; the noise has about this standard deviation."""
    trace = Trace(objective)
    return trace + trial_of(trace, start, [1.0 - noise, 1.0, 1.0 + noise])


def with_file(text, start=FILE_START, **params):
    return Candidate({**start.params, **params}, {"main.py": text})


class Model:
    """Gives its answers in turn and remembers what it was asked; an exception among them is raised."""

    def __init__(self, *answers):
        self.answers, self.requests, self.purposes = list(answers), [], []

    def __call__(self, request, purpose, seed, repeat):
        self.requests.append(request)
        self.purposes.append(purpose)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Reply) else Reply(answer, "none:none")

    @property
    def system(self):
        return self.requests[-1].messages[0].text

    @property
    def prompt(self):
        return self.requests[-1].messages[1].text

    @property
    def objection(self):
        """What was said last to an answer that could not be used."""
        return self.requests[-1].messages[-1].text


def view_of(model, trace=None, space=SPACE, settings=None, **more):
    trace = begun() if trace is None else trace
    return View(
        len(trace), 1, "Make it small.", trace.objective, space, settings or Settings(), trace, asks=model, **more
    )


def file_view(model, trace=None, **more):
    return view_of(model, begun(FILE_START) if trace is None else trace, FILE_SPACE, **more)


def draft(why="because", gain=0.1, **changes):
    return {"why": why, "predicted_gain": gain, "changes": changes}


def values(*drafts):
    return json.dumps({"drafts": list(drafts)})


def block(search, replacement, path="main.py"):
    return f"{path}\n<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE\n"


def edits(*blocks, why="because", gain=0.1, **changes):
    return "\n".join([json.dumps(draft(why, gain, **changes)), *blocks])


def propose(view, briefing=None, parent=None, **options):
    return list(ModelResearcher(**options).propose(view, parent or view.trace.current, briefing or Briefing()))


def propose_files(view, briefing=None, parent=None, **options):
    return propose(view, briefing, parent, **{"files": FILES, **options})


def section(prompt, title):
    """The text of a section of a prompt; empty if it is not there."""
    for part in ("\n" + prompt).split("\n## ")[1:]:
        if part.startswith(title):
            return part.partition("\n")[2].strip()
    return ""
