"""The seal holds: a sealed value that cannot be mistaken, looked for in everything that a run tells, asks or stores."""

import contextlib
import io
import json
import sqlite3
import sys
import warnings

import pytest

pytest.importorskip("pydantic_ai")

from asking import KEYS, SECRET
from folder_tasks import folder_task
from researcher_server import SESSION, ResearcherServer, number_in
from runs import model_of

from bilevel.cli import main

MODEL = model_of("compatible")
REVERSED = "517284739182"  # no file says the value itself: it is only there when the sealed command has run
CANARY = REVERSED[::-1]
SCORER = f"""import json
import os
import random
import runpy
import sys
import uuid
from pathlib import Path

folders = [Path.cwd(), Path(__file__).parent, *(Path(v) for k, v in os.environ.items() if k.startswith("BILEVEL_"))]
files = {{str(p): p.read_text(errors="replace") for f in folders if f.is_dir() for p in f.rglob("*") if p.is_file()}}
seen = {{"environment": dict(os.environ), "arguments": sys.argv, "files": files}}
(Path(OUT) / uuid.uuid4().hex).write_text(json.dumps(seen))
found = runpy.run_path("main.py")["loss"]()
print("loss:", found + random.Random(os.environ["BILEVEL_SEED"] + str(found)).gauss(0, 0.01))
if "--sealed" in sys.argv:
    print("secret:", "{REVERSED}"[::-1])
"""
SPY = f'''"""Looks for a value in all that it sees."""

from bilevel.mechanism import Mechanism


class Spy(Mechanism):
    domain = "watches"

    def propose(self, view, parent, proposals):
        seen = [repr(view.brief), repr(view.told), repr(view.objective), repr(view.space), repr(view.settings)]
        seen += [repr(view.lessons), repr(view.below), repr(view.pending), repr(parent), repr(proposals)]
        seen += [repr(trial) for trial in view.trace]
        text = " ".join(seen)
        notes = {{"characters": len(text), "saw": "{REVERSED}"[::-1] in text}}
        return tuple(type(one)(one.candidate, one.why, one.author, notes, one.repeats) for one in proposals)
'''
RECIPE = """name = "spied"
title = "a test"
[inner]
mechanisms = ["spy.py"]
[[outer]]
level = "mechanisms"
researcher = "llm"
trials = 3
cycles = 3
start = "fork"
[sandbox]
shipped = true
"""


def draft(prompt):
    number = number_in(prompt)
    return {"drafts": [{"why": "smaller", "changes": {"SIZE": 9 + number % 10, "DEPTH": 3 + number % 7}}]}


def bilevel(monkeypatch, *args):
    """What a command printed. It must succeed."""
    monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
    out = io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(io.StringIO()) as error,
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, error.getvalue()
    return out.getvalue()


def records(folder):
    """Every value in the store, by table and the row's first column."""
    with sqlite3.connect(folder / "run.sqlite3") as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            f"{table} {row[0]}": " ".join(map(str, row))
            for table in tables
            for row in store.execute(f"SELECT * FROM {table}")
        }
    store.close()
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run of levels 1 and 2 with a claim stage and a seal, gone on with after the seal was broken."""
    root = tmp_path_factory.mktemp("seal")
    out = root / "scored"
    out.mkdir()
    program = "SIZE = 8\nDEPTH = 3\nWIDTH = 5\n\n\ndef loss():\n    return 1.0 + abs(SIZE - 20) + abs(DEPTH - 10)\n"
    task = folder_task(root / "task", program=program, scorer=SCORER.replace("OUT", repr(str(out))))
    text = (task / "task.toml").read_text()
    text += '[metrics.secret]\nread = "line"\nlabel = "secret"\n[seal]\nmetrics = ["secret"]\n'
    text += 'command = ["{python}", "{harness}/score.py", "--sealed"]\n'
    (task / "task.toml").write_text(text)
    (root / "spy.py").write_text(SPY)
    (root / "spied.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as monkeypatch, ResearcherServer(says={"draft": draft}) as server:
        monkeypatch.chdir(root)
        monkeypatch.setenv("HOME", str(root))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv(KEYS["compatible"], SECRET)
        monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", server.url)
        bilevel(monkeypatch, "run", "spied.toml", "--task", task, "--model", MODEL, "--folder", "run")
        bilevel(monkeypatch, "confirm", "run", "--pairs", 2)
        bilevel(monkeypatch, "resume", "run")
        status = bilevel(monkeypatch, "status", "run")
        sealed = json.loads(bilevel(monkeypatch, "status", "run", "--json"))["claim"]["sealed"]
        shown = bilevel(monkeypatch, "show", "run", "--calls") + bilevel(monkeypatch, "show", "run", "--json")
        bilevel(monkeypatch, "verify", "run")
        roles = list(server.roles)
        prompts = [json.dumps(asked.body) for asked in server.requests]
    scored = [path.read_text() for path in out.iterdir()]
    return {
        "folder": root / "run",
        "status": status,
        "sealed": sealed,
        "shown": shown,
        "prompts": prompts,
        "roles": roles,
        "scored": scored,
    }


def test_it_is_in_the_report(told):
    assert told["sealed"] == {"baseline": {"secret": float(CANARY)}, "answer": {"secret": float(CANARY)}}
    assert "fresh seeds" in told["status"]
    assert "sealed, baseline" in told["status"] and "sealed, answer" in told["status"]


def test_no_prompt_of_any_level_has_it(told):
    assert {"draft", *SESSION[:4]} <= set(told["roles"])
    assert not [prompt for prompt in told["prompts"] if CANARY in prompt]


def test_no_record_has_it_but_the_fact_that_the_report_is_made_of(told):
    found = records(told["folder"])
    assert [place for place, text in found.items() if CANARY in text] == ["meta sealed"]
    assert any(place.startswith("calls ") for place in found) and CANARY not in told["shown"]


def test_no_mechanism_in_the_sandbox_saw_it(told):
    notes = [text for place, text in records(told["folder"]).items() if place.startswith("trials ")]
    noted = [text for text in notes if '"characters":' in text]
    assert len(noted) > 3 and not any('"saw":true' in text for text in noted)


def test_no_program_that_measures_is_given_it(told):
    assert any("--sealed" in text for text in told["scored"]) and len(told["scored"]) > 10
    assert not [text for text in told["scored"] if CANARY in text]
