"""Commands of a person's own on what happens to a run: they are told once, and change nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import in_process
import pytest

from bilevel.cli.progress import Progress
from bilevel.errors import InputError
from bilevel.events import KIND, with_commands
from bilevel.lab import Traces
from bilevel.length import planned_evaluations, planned_now
from bilevel.levels import leaf
from bilevel.notices import variables_for
from bilevel.overriding import override
from bilevel.recipe import EventsTable, find, unread
from bilevel.run import recorded, resume, start
from bilevel.steering.giving import Asked, give
from bilevel.store.folder import RunFolder

TELL = "cat >> told.jsonl; echo >> told.jsonl; env > $BILEVEL_EVENT.env"
SPHERE = ("--task", "sphere:noise=0.1", "--folder", "run")


@pytest.fixture
def bilevel(tmp_path):
    def run(*args, code=0, **env):
        done = in_process.run(*args, cwd=tmp_path, env=env)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture
def told(tmp_path):
    """The facts that commands were given so far, by event."""

    def read():
        file = tmp_path / "told.jsonl"
        facts = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return {event: [one for one in facts if one["event"] == event] for event in {one["event"] for one in facts}}

    return read


def recipe(folder, text, trials=10):
    (folder / "mine.toml").write_text(
        f'name = "mine"\ntitle = "x"\n[inner]\nresearcher = "coordinate"\ntrials = {trials}\n[claim]\non = false\n'
        f"[events]\n{text}\n"
    )
    return "mine.toml"


def opened(folder):
    run = RunFolder.read(Path(folder))
    try:
        _, spec = recorded(run.config)
        trace = Traces(run.store).trace("root", leaf(spec).task.objective)
        return trace, [event.text for _, event in run.store.events() if event.kind == KIND]
    finally:
        run.close()


def test_each_event_is_told_with_its_facts(bilevel, told, tmp_path):
    text = "\n".join(f"{event} = '''{TELL}'''" for event in ("finished", "best", "budget", "stuck"))
    mine = recipe(tmp_path, text + "\nshares = [0.5, 0.9]\nstuck_after = 3", trials=14)
    printed = bilevel("run", mine, *SPHERE).stdout
    trace, notes = opened(tmp_path / "run")
    facts, run = told(), str(tmp_path / "run")
    assert set(facts) == {"finished", "best", "budget", "stuck"}
    (finished,) = facts["finished"]
    assert (finished["state"], finished["trials"], finished["run"]) == ("finished", 15, run)
    assert finished["baseline"] == trace.baseline.score and finished["task"] == "sphere"
    best = facts["best"][-1]
    assert best["best"] == trace[best["trial"]].score < finished["baseline"] and best["gain"] > 0
    changes = trace[best["trial"]].changes
    assert best["changes"] == {name: [change.old, change.new] for name, change in changes.items()}
    budget = facts["budget"][-1]
    assert budget["budget"] == "measurements" and budget["share"] >= 0.9
    assert 1 <= len(facts["budget"]) <= 2  # both shares may be passed between two looks
    assert all(one["since_best"] >= 3 for one in facts["stuck"])
    for line in notes:
        assert line.endswith("told by its command") and f"{KIND}: {line}" in printed
    env = dict(line.split("=", 1) for line in (tmp_path / "best.env").read_text().splitlines())
    assert env["BILEVEL_EVENT"] == "best" and env["BILEVEL_RUN"] == run and float(env["BILEVEL_BEST"]) == best["best"]
    assert env["BILEVEL_MESSAGE"] == best["message"] and env["HOME"] == str(Path.home())


def test_a_command_that_fails_hangs_or_is_no_command_changes_nothing_and_is_said(bilevel, tmp_path):
    bilevel("run", "a", *SPHERE[:2], "--folder", "alone", "--trials", "12")
    text = "finished = 'sleep 60'\nbest = 'echo oh no >&2; exit 3'\nbudget = 'no-such-program'\nseconds = 0.3"
    bilevel("run", recipe(tmp_path, text, trials=12), *SPHERE)
    (alone, nothing), (trace, notes) = opened(tmp_path / "alone"), opened(tmp_path / "run")
    assert trace.fingerprint() == alone.fingerprint() and nothing == []
    said = "\n".join(notes)
    assert "its command failed with exit code 3: oh no" in said
    status = bilevel("status", "run").stdout
    assert all(f"command: {line}" in status for line in notes)
    assert "its command failed with exit code 127:" in said and "no-such-program" in said
    assert re.search(r"^finished: ended \(finished\).*its command was ended \(wall_limit\) after 0\.\d s$", said, re.M)


def test_a_run_that_fails_is_told(bilevel, told, tmp_path):
    (tmp_path / "always_fails.py").write_text(
        "from bilevel.objective import Objective\nfrom bilevel.space import Candidate, Int, Space\n"
        "from bilevel.tasks.function import FunctionTask\n\n"
        "def loss(params, seed):\n    raise ValueError('no such thing')\n\n"
        "space, start = Space({'x': Int(0, 9)}), Candidate({'x': 1})\n"
        "task = FunctionTask('always_fails', loss, space, start, Objective('loss'), 'x')\n"
    )
    args = ("run", "a", "--task", "python:always_fails:task", "--folder", "run")
    done = bilevel(*args, "--on", f"failed={TELL}", "--on", f"finished={TELL}", code=2)
    assert list(told()) == ["failed"], done.stderr + done.stdout
    assert "no such thing" in told()["failed"][0]["error"] and told()["failed"][0]["best"] is None


def test_a_fault_of_our_own_is_told_too_and_so_is_the_next_one(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def broken() -> None:
        raise TypeError("our own")

    made = override(with_commands(find("a"), [f"failed={TELL}"]), task="sphere", trials=1)
    for session in (lambda: start(made, tmp_path / "run"), lambda: resume(tmp_path / "run")):
        with session() as opened_run, pytest.raises(TypeError, match="our own"):
            opened_run.claim = broken
            opened_run.execute()
    assert [one["error"] for one in told()["failed"]] == ["TypeError: our own"] * 2


def test_a_limit_is_warned_of_and_ends_with_finished(bilevel, told):
    command = ("--on", f"budget={TELL}", "--on", f"finished={TELL}")
    bilevel("run", "random", *SPHERE, "--trials", "100000", "--max-seconds", "0.9", *command)
    assert told()["finished"][0]["state"] == "limit"
    assert {one["budget"] for one in told()["budget"]} == {"seconds"}
    assert told()["budget"][0]["of"] == "0.9 seconds" and told()["budget"][0]["share"] >= 0.8


@pytest.mark.slow
def test_after_a_kill_in_the_middle_of_a_command_nothing_is_told_twice(bilevel, told, tmp_path):
    kill = f"{TELL}; kill -9 $(cut -d' ' -f2 run/lock)"
    command = [sys.executable, "-m", "bilevel", "run", "random", *SPHERE, "--trials", "60"]
    done = subprocess.run([*command, "--on", f"best={kill}"], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == -9 and len(told()["best"]) == 1
    first = told()["best"][0]
    bilevel("resume", "run", "--on", f"best={TELL}", "--on", f"finished={TELL}")
    facts = told()
    assert len(facts["finished"]) == 1
    assert [one["trial"] for one in facts["best"]].count(first["trial"]) == 1
    assert facts["best"][-1]["best"] == facts["finished"][0]["best"]
    before = (tmp_path / "told.jsonl").read_text()
    bilevel("resume", "run")  # nothing is left to do, and the commands of the last resume are in force
    assert (tmp_path / "told.jsonl").read_text() == before


def test_commands_that_come_with_a_resume_are_not_told_of_what_was_before(bilevel, told, tmp_path):
    bilevel("run", "random", *SPHERE, "--trials", "20", "--on", "best=true", "--on", "best=")
    bilevel("resume", "run", "--on", f"best={TELL}", "--on", f"finished={TELL}")
    assert list(told()) == ["finished"]


def test_a_replay_tells_nobody(bilevel, told, tmp_path):
    bilevel("run", "a", *SPHERE, "--trials", "5", "--on", f"finished={TELL}")
    (tmp_path / "told.jsonl").unlink()
    bilevel("replay", "run")
    bilevel("verify", "run")
    assert told() == {}


def test_no_secret_reaches_a_command(bilevel, tmp_path):
    mine = recipe(tmp_path, f"finished = '''{TELL}'''\nenv_pass = ['WEBHOOK_ADDRESS']", trials=2)
    bilevel("run", mine, *SPHERE, OPENAI_API_KEY="sk-very-secret-1", OTHER="x", WEBHOOK_ADDRESS="http://127.0.0.1:1/")
    env = (tmp_path / "finished.env").read_text()
    assert "WEBHOOK_ADDRESS=http://127.0.0.1:1/" in env and "sk-very" not in env and "OTHER" not in env
    refused = bilevel(
        "run", recipe(tmp_path, "finished = 'true'\nenv_pass = ['SLACK_TOKEN']"), "--folder", "other", code=2
    )
    assert "events.env_pass" in refused.stderr and "looks like a secret" in refused.stderr
    assert not os.path.exists(tmp_path / "other")
    with pytest.raises(InputError, match="URL with a password"):
        os.environ["WEBHOOK_ADDRESS"] = "http://me:secret@127.0.0.1/"
        try:
            variables_for(EventsTable(env_pass=("WEBHOOK_ADDRESS",)))
        finally:
            del os.environ["WEBHOOK_ADDRESS"]


@pytest.mark.parametrize("text", ["won=true", "finished", "=true", ""])
def test_what_is_no_event_is_refused(bilevel, text, tmp_path):
    done = bilevel("run", "a", *SPHERE, "--on", text or "x", code=2)
    assert "write EVENT=COMMAND with one of: finished, failed, best, budget, stuck, gate, mechanism, act" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_option_goes_before_the_recipe_and_an_empty_one_takes_a_command_away():
    base = with_commands(find("a"), ["best=one", "finished=x=y"])
    assert base.events.commands == {"finished": "x=y", "best": "one"}
    assert with_commands(base, ["best=two", "finished="]).events.commands == {"best": "two"}


def test_keys_that_nothing_reads_are_said():
    keys = {"shares": (0.5,), "stuck_after": 3, "seconds": 1.0, "env_pass": ("X",)}
    alone = find("a").model_copy(update={"events": EventsTable(**keys)})
    assert {line.partition(":")[0] for line in unread(alone)} == {f"events.{key}" for key in keys}
    read = find("a").model_copy(update={"events": EventsTable(**keys, budget="true", stuck="true")})
    assert unread(read) == []


def test_a_command_that_holds_a_key_is_refused_where_models_are_asked(bilevel, tmp_path):
    key = "sk-proj-abcdefghij0123456789"
    options = ("--model", "openai:gpt-5-mini", "--on", f"finished=curl -H 'Authorization: {key}' http://127.0.0.1:1/")
    done = bilevel("run", "a", *SPHERE, *options, code=2, OPENAI_API_KEY=key)
    assert "events.finished holds a key" in done.stderr and key not in done.stderr
    assert not (tmp_path / "run").exists()


def test_known_keys_are_taken_out_of_facts_and_notes(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = override(with_commands(find("a"), [f"best={TELL}", "finished=echo sphere; exit 3"]), trials=4)
    with start(recipe, tmp_path / "run") as session:
        session.lab.redact = lambda text: text.replace("sphere", "[secret]")
        session.execute()
    assert told()["best"][0]["task"] == "[secret]"
    assert opened(tmp_path / "run")[1][-1].endswith("exit code 3: [secret]")


def test_a_question_at_the_gate_is_told_and_may_be_answered_by_the_command(bilevel, told, tmp_path):
    answer = f"{TELL}; {sys.executable} -m bilevel steer approve run"
    mine = recipe(tmp_path, f"gate = '''{answer}'''\n[gate]\nkeep = true\nwait = 60", trials=1)
    bilevel("run", mine, *SPHERE)
    (asked,) = told()["gate"]
    assert "command:" not in bilevel("status", "run").stdout
    assert asked["kind"] == "keep" and asked["question"] == "keep:root#1"
    assert opened(tmp_path / "run")[0][1].decision.keep


def test_a_single_pass_has_commands_too(bilevel, told):
    bilevel("once", "a", *SPHERE, "--on", f"finished={TELL}")
    assert told()["finished"][0]["trials"] == 2


def test_an_act_that_is_taken_up_is_told_and_the_budget_event_knows_its_budget(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = override(with_commands(find("a"), [f"act={TELL}", f"budget={TELL}"]), task="sphere:noise=0.1", trials=12)
    with start(made, tmp_path / "run") as session:
        give(session.folder.path, Asked("budget", what="trials", value=20, author="Ada"))
        session.execute()
        assert planned_now(session.folder.store, session.spec) == 23
        view = Progress(session.spec, planned_evaluations(session.spec))
        before = view.planned
        view.update(session.folder.store)
        assert (before, view.planned) == (15, 23)
    (act,) = told()["act"]
    assert (act["author"], act["kind"], act["what"], act["value"]) == ("Ada", "budget", "trials", 20)
    assert act["outcome"] == "taken up" and act["place"] == "root:0" and "Ada: budget trials 20" in act["message"]
    assert {one["of"] for one in told()["budget"]} == {"23 measurements"}
    with resume(tmp_path / "run") as session:
        session.execute()
    assert told()["act"] == [act]
