"""Who gets to see what: a canary in every text that a run makes or is given, looked for in everything that is told.

Two real searches on three levels with a model at each: one whose task is a folder with a scorer, one whose task is a
function that asks a judge. The table says for each pair whether the text arrives or never does.
"""

import contextlib
import io
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from asking import KEYS, SECRET
from folder_tasks import folder_task
from researcher_server import CRITIQUE, PLAN, SESSION, WANDER, ResearcherServer, number_in
from runs import model_of

from bilevel.admission import allowed, door
from bilevel.budget import Budget
from bilevel.call import Message, Request
from bilevel.cli import main
from bilevel.lab import Lab
from bilevel.levels import Inside
from bilevel.llm import ModelOptions, connect
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, Mechanism, load
from bilevel.nesting import nest
from bilevel.objective import Objective
from bilevel.researchers import make
from bilevel.space import Candidate, Float, Int, Space
from bilevel.store.records import dump_record
from bilevel.surfaces import MechanismSurface, SettingsSurface, mechanism_set
from bilevel.tasks.function import FunctionTask

MODEL = model_of("compatible")
CANARIES = {
    "lesson": "albatross", "skill": "bittern", "settings guidance": "cormorant", "guidance.md": "dotterel",
    "brief.md": "egret", "advice": "fulmar", "why": "gannet", "file": "heron", "log": "ibis",
    "mechanism": "jacana", "ideas": "kestrel", "critique": "lapwing", "plan": "merganser", "diagnosis": "nightjar",
    "key": SECRET,
}  # fmt: skip
ARRIVES = {
    "inner": {"lesson", "skill", "settings guidance", "guidance.md", "brief.md", "advice", "why", "file", "log"},
    "lessons": {"lesson", "skill", "guidance.md", "brief.md", "why", "log"},
    "level 1.5": {"settings guidance", "guidance.md", "brief.md"},
    "level 2": {"guidance.md", "brief.md", "mechanism", "ideas", "critique", "plan"},
    "mechanism's view": {"lesson", "skill", "settings guidance", "guidance.md", "brief.md", "why", "log"},
    "judge": set(),
    "scorer": {"file"},
}
REVERSED = {name: word[::-1] for name, word in CANARIES.items()}  # in code that only says it when it runs
RULE = f'''"""Advise, and wander: {CANARIES["mechanism"]}."""

from bilevel.mechanism import Mechanism


class Rule(Mechanism):
    domain = "walks"

    def advise(self, view, briefing):
        return briefing.with_block("rule", "Think of the " + "{REVERSED["advice"]}"[::-1])

    def select(self, view, parent):
        first = view.trace.baseline
        return first.candidate if first is not None and first.score is not None and view.number % 2 else parent
'''
SCORER = """import json
import os
import runpy
import sys
import traceback
import uuid
from pathlib import Path

folders = [Path.cwd(), Path(__file__).parent, *(Path(v) for k, v in os.environ.items() if k.startswith("BILEVEL_"))]
files = {str(p): p.read_text(errors="replace") for f in folders if f.is_dir() for p in f.rglob("*") if p.is_file()}
seen = {"environment": dict(os.environ), "arguments": sys.argv, "files": files}
(Path(OUT) / uuid.uuid4().hex).write_text(json.dumps(seen))
print("SAID"[::-1])
try:
    print("loss:", runpy.run_path("main.py")["loss"]())
except Exception:
    traceback.print_exc()
    sys.exit(12)
"""


def program(number, loss="1.0 + abs(SIZE - 20)"):
    """The whole file of a draft, which differs from trial to trial."""
    return (
        f"FILE: main.py\n```python\nSIZE = 8\nDEPTH = 3\nWIDTH = 5\n\n\ndef loss():\n"
        f"    # {CANARIES['file']}\n    return {number} / 100 + {loss}\n```\n"
    )


def edits(prompt):
    """A draft for a task with files; that of trial 2 has a slip, which is mended when it is asked for."""
    head = json.dumps({"why": f"a {CANARIES['why']} told me", "predicted_gain": None, "changes": {}})
    if "failed by a slip" in prompt:
        return f"{head}\n{program(77)}"
    number = number_in(prompt)
    again = prompt.count("asked for this trial again")
    return f"{head}\n{program(number + 10 * again, 'half' if number == 2 else '1.0 + abs(SIZE - 20)')}"


def values(prompt):
    """A draft for a task with parameters; that of trial 2 fails."""
    number = number_in(prompt)
    changes = {"rate": (number * 7 + len(prompt)) % 90 / 100 + 0.01, "depth": 7 if number == 2 else 3}
    return {"drafts": [{"why": f"a {CANARIES['why']} told me", "changes": changes}]}


def lessons(prompt):
    usual = {"kind": "method", "rule": "Step wide.", "trials": [1]}
    mark = len(prompt)  # a lesson may not be told twice
    return {
        "lessons": [
            {**usual, "summary": f"{CANARIES['lesson']} {mark}", "confidence": 0.5},
            {**usual, "summary": f"{CANARIES['skill']} {mark}", "confidence": 0.9},
        ]
    }


def says(drafts):
    idea = {**CRITIQUE["ideas"][0], "idea": f"start at the {CANARIES['critique']}"}
    return {
        "draft": drafts,
        "lessons": lessons,
        "settings": lambda prompt: {
            "diagnosis": f"the {CANARIES['diagnosis']} sleeps",
            "guidance": f"Follow the {CANARIES['settings guidance']}, {len(prompt)}.".replace(", ", " and on, by "),
            "strategy": "explore",
        },
        "explore": f"1. Wander with the {CANARIES['ideas']}, now and then.",
        "critique": {**CRITIQUE, "ideas": [idea]},
        "specify": {**PLAN, "changes": f"the parent, by the {CANARIES['plan']}"},
        "generate": f"```python\n{WANDER}```",
    }


@dataclass
class Spy(Mechanism):
    """Notes all that its view holds."""

    seen: list

    def select(self, view, parent):
        texts = [
            view.brief,
            view.told,
            view.settings.guidance,
            repr(view.lessons),
            repr(view.below),
            repr(view.pending),
        ]
        texts += [text for trial in view.trace for text in (dump_record(trial), repr(trial.candidate))]
        self.seen.append("\n".join(texts))
        return parent


def told(server):
    """What a server was asked, by destination."""
    names = {"draft": "inner", "pick": "inner", "lessons": "lessons", "settings": "level 1.5", "other": "judge"}
    names |= dict.fromkeys(SESSION, "level 2")
    found = {}
    for role, asked in zip(server.roles, server.requests, strict=True):
        found.setdefault(names[role], []).append(json.dumps(asked.body))
    return found


def folder_run(monkeypatch, tmp_path):
    """A search by `bilevel run c` on a task with files and a scorer."""
    out = tmp_path / "scored"
    out.mkdir()
    scorer = SCORER.replace("OUT", repr(str(out))).replace("SAID", REVERSED["log"])
    task = folder_task(tmp_path / "task", program="SIZE = 8\nDEPTH = 3\nWIDTH = 5\n\n\ndef loss():\n    return 30.0\n",
                       brief=f"Make it small, says the {CANARIES['brief.md']}.", scorer=scorer)  # fmt: skip
    (task / "guidance.md").write_text(f"Mind the {CANARIES['guidance.md']}.\n")
    Path("rule.py").write_text(RULE)
    Path("c.toml").write_text(
        'name = "c"\ntitle = "a test"\n[inner]\nmechanisms = ["rule.py"]\n'
        '[[outer]]\nlevel = "settings"\nresearcher = "llm"\ntrials = 4\n'
        '[[outer]]\nlevel = "mechanisms"\nresearcher = "llm"\ntrials = 1\ncycles = 4\nstart = "fork"\n'
    )
    with ResearcherServer(says=says(edits)) as server:
        monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", server.url)
        args = ["run", "c.toml", "--task", str(task), "--model", MODEL, "--folder", "run"]
        monkeypatch.setattr(sys, "argv", ["bilevel", *args])
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as error,
            warnings.catch_warnings(action="ignore"),
        ):
            try:
                main()
            except SystemExit as ended:
                assert not ended.code, error.getvalue()
        return {**told(server), "scorer": [path.read_text() for path in out.iterdir()]}


def judged(params, seed, judge):
    if params["depth"] == 7:
        raise ValueError(f"seven, said the {CANARIES['log']}")
    reply = judge(Request((Message("user", f"How good is {dict(params)}, in a word?"),)), "judge")
    return abs(params["rate"] - 0.3) + len(reply.text) / 1e6


def function_run(monkeypatch):
    """A search by the API on a function that asks a judge."""
    task = FunctionTask(
        "judged", judged, Space({"rate": Float(0.0, 1.0), "depth": Int(1, 9)}), Candidate({"rate": 0.9, "depth": 3}),
        Objective("loss"), f"Make it small, says the {CANARIES['brief.md']}.",
        guidance=f"Mind the {CANARIES['guidance.md']}.",
    )  # fmt: skip
    spy = Spy([])
    inner = LoopSpec(
        "inner", task, make("llm", "1"), (Guest("rule", RULE), Guest("spy", "")), budget=Budget(), lessons_every=4,
        load=lambda guest: spy if guest.name == "spy" else load(guest),
    )  # fmt: skip
    settings = nest(
        inner, SettingsSurface(1), make("llm", "1.5", least_active=1), name="settings", trials=4, cycles=2,
        start="continue",
    )  # fmt: skip
    session = make("llm", "2", compose=mechanism_set, source="class Mechanism: ...", allowed=allowed())
    spec = nest(settings, Inside(MechanismSurface(door)), session, name="mechanisms", trials=1, cycles=4)
    with ResearcherServer(says=says(values)) as server:
        model = connect(MODEL, ModelOptions(base_url=server.url))
        lab = Lab(models=dict.fromkeys(("inner", "settings", "mechanisms", "judge"), model))
        Loop(spec, lab).run()
        return {**told(server), "mechanism's view": spy.seen}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """By destination, everything that arrived there."""
    tmp_path = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv(KEYS["compatible"], SECRET)
        runs = folder_run(monkeypatch, tmp_path), function_run(monkeypatch)
    return {place: [text for run in runs for text in run.get(place, ())] for place in ARRIVES}


@pytest.mark.parametrize("place", ARRIVES)
def test_a_text_arrives_where_it_should_and_nowhere_else(seen, place):
    assert seen[place], f"nothing arrived at {place}"
    found = {name for name, word in CANARIES.items() if any(word in text for text in seen[place])}
    assert found == ARRIVES[place]


@pytest.mark.parametrize("place", ["judge", "scorer"])
def test_who_measures_is_told_neither_who_proposed_nor_what_was_tried(seen, place):
    for text in seen[place]:
        for word in ("llm session", "llm settings", "baseline", "discarded", "trial #", "bilevel.view", "Wander"):
            assert word not in text


def test_every_canary_was_really_set_free(seen):
    everywhere = "\n".join(text for texts in seen.values() for text in texts)
    missing = [name for name, word in CANARIES.items() if word not in everywhere]
    assert missing == ["diagnosis", "key"]  # the reason of a proposal of level 1.5 is told to nobody
