"""A run that was killed while a model was asked goes on as if it had not been; a run is replayed from its record."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
from collections import Counter

import pytest

pytest.importorskip("pydantic_ai")

from runs import fingerprints, model_of

MODEL = model_of("compatible")
A = ("a", "--task", "sphere", "--model", MODEL, "--trials", "5")
C = ("c", "--task", "sphere", "--model", MODEL, "--inner-budget", "3", "--outer-cycles", "3")


@pytest.fixture
def no_network(monkeypatch):
    """Forbid every connection, and forget all keys and addresses."""

    def forbid():
        def refuse(*_):
            raise AssertionError("a socket was opened")

        for name in ("connect", "connect_ex", "sendto"):
            monkeypatch.setattr(socket.socket, name, refuse)
        for name in [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL"))]:
            monkeypatch.delenv(name)

    return forbid


def interrupts_at(role, which=1, sent=signal.SIGINT):
    """Say nothing of its own, but interrupt this process at one of the questions of a role."""
    seen = Counter()

    def say(prompt):
        seen[role] += 1
        if seen[role] == which:
            os.kill(os.getpid(), sent)

    return {role: say}


# ---- kill -9 ----


@pytest.mark.parametrize(
    ("args", "role", "which"),
    [
        pytest.param(A, "draft", 3, id="a draft"),
        pytest.param(C, "lessons", 1, id="the lessons", marks=pytest.mark.slow),
        pytest.param(C, "critique", 1, id="a session", marks=pytest.mark.slow),
        pytest.param(C, "settings", 1, id="the settings", marks=pytest.mark.slow),
        pytest.param((*C, "--workers", "2"), "draft", 5, id="a draft of two", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_while_it_waits_for_a_model_asks_only_that_again(
    serve, bilevel, process, clean, args, role, which
):
    seen = Counter()

    def hang_once(prompt):
        seen[role] += 1
        if seen[role] == which:
            server.waiting.set()
            return {"hang": True, "body": ""}
        return None

    server = serve(says={role: hang_once})
    running = process("run", *args, "--folder", "run")
    assert server.waiting.wait(60), running.communicate()
    running.kill()
    running.communicate()
    hanging = server.bodies[-1]
    assert server.roles[-1] == role
    killed = bilevel("replay", "run")
    assert killed.code == 0, killed.err
    assert bilevel("resume", "run").code == 0
    asked = Counter(server.bodies)
    twice = [body for body, times in asked.items() if times > 1]
    assert twice == [hanging] and asked[hanging] == 2
    without = clean(*args)
    assert fingerprints("run") == without.fingerprints
    assert set(asked) == set(without.bodies)
    assert bilevel("replay", "run").code == 0


# ---- replay ----


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_is_replayed_byte_for_byte_without_a_model_a_key_or_a_network(
    serve, bilevel, bilevel_json, no_network, workers
):
    server = serve()
    assert bilevel("run", *C, "--workers", workers, "--folder", "run").code == 0
    asked, calls = len(server.bodies), len(bilevel_json("show", "run", "--calls"))
    with open("run/run.sqlite3", "rb") as file:
        before = file.read()
    server.close()
    no_network()
    done = bilevel("replay", "run")
    assert done.code == 0, done.err
    assert "byte for byte (the run is finished)" in done.out
    told = bilevel_json("replay", "run")
    assert told["calls"] == calls and told["trials"] > 12 and told["state"] == "finished"
    assert len(server.bodies) == asked
    with open("run/run.sqlite3", "rb") as file:
        assert file.read() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "role", "which", "workers"),
    [
        (A, "draft", 3, "1"), (A, "draft", 3, "2"), (C, "draft", 5, "2"), (C, "specify", 1, "1"),
        (C, "settings", 1, "2"), (C, "lessons", 1, "2"),
    ],
)  # fmt: skip
def test_a_run_that_was_stopped_is_replayed_as_far_as_it_came_and_resumed(
    serve, bilevel, bilevel_json, clean, args, role, which, workers
):
    serve(says=interrupts_at(role, which))
    assert bilevel("run", *args, "--workers", workers, "--folder", "run").code == 3
    assert bilevel_json("status", "run")["state"] == "stopped"
    told = bilevel("replay", "run")
    assert told.code == 0, told.err
    assert "(the run is stopped)" in told.out
    serve()
    assert bilevel("resume", "run").code == 0
    assert fingerprints("run") == clean(*args, "--workers", workers).fingerprints
    assert bilevel("replay", "run").code == 0


@pytest.mark.parametrize(("most", "workers"), [(20, "2"), (60, "1"), (130, "2"), (200, "1"), (200, "2")])
def test_a_run_that_a_limit_ended_is_replayed_as_far_as_it_came(serve, bilevel, workers, most):
    serve()
    assert bilevel("run", *C, "--workers", workers, "--max-tokens", most, "--folder", "run").code == 0
    told = bilevel("replay", "run")
    assert told.code == 0, told.err
    assert "(the run is limit)" in told.out


def test_a_run_whose_model_was_gone_is_replayed_as_far_as_it_came(serve, bilevel, recipe):
    serve(gone_from=6)
    name = recipe("c")
    assert bilevel("run", name, *C[1:], "--folder", "run").code == 1
    assert bilevel("replay", "run").code == 0


# ---- tampering ----


def changed(statement, change, *values):
    """Change one JSON record of the run."""
    with sqlite3.connect("run/run.sqlite3") as connection:
        table, where = statement
        (record,) = connection.execute(f"SELECT record FROM {table} WHERE {where}", values).fetchone()
        data = json.loads(record)
        change(data)
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        connection.execute(f"UPDATE {table} SET record = ? WHERE {where}", (text, *values))
    connection.close()


def reply(change):
    def of(data):
        before = data["reply"]["text"]
        data["reply"]["text"] = change(before)
        assert data["reply"]["text"] != before

    return of


def other_reason(data):
    data["decision"]["reason"] += " or so"


def better(data):
    data["score"] -= 0.5


def measured_better(data):
    data["runs"][0]["metrics"]["loss"] -= 0.5


def credited(data):
    counts = next(iter(next(iter(data["ledger"].values())).values()))
    counts["decisive"] += 1


def learned_otherwise(data):
    data["learned"][0]["rule"] = "Do nothing."


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where a finished run is kept, to be copied."""
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def whole(serve, bilevel, kept):
    """A finished run in the folder `run`."""
    if not kept.exists():
        serve()
        assert bilevel("run", *C, "--folder", kept).code == 0
    shutil.copytree(kept, "run")


@pytest.mark.parametrize(
    ("purpose", "change"),
    [
        ("propose", lambda text: text.replace('"changes": {', '"changes": {"depth": 5, "rows": 1, ')),
        ("propose", lambda text: text.replace("try ", "dare ")),
        ("propose", lambda text: text[:-3]),
        ("settings", lambda text: text.replace("explore", "exploit")),
        ("settings", lambda text: text[:-3]),
        ("lessons", lambda text: text.replace("Step wide.", "Step far.")),
        ("session/generate", lambda text: text.replace("view.number % 2", "view.number % 3")),
        ("session/specify", lambda text: text.replace("the parent of", "another parent of")),
        ("session/critique", lambda text: "no JSON"),
    ],
)
def test_one_changed_reply_makes_a_replay_fail_and_name_the_trial(whole, bilevel, purpose, change):
    where = "number = (SELECT min(number) FROM calls WHERE purpose = ?)"
    changed(("calls", where), reply(change), purpose)
    done = bilevel("replay", "run")
    assert done.code == 1, done.said
    assert re.search(r"trial \d", done.err), done.err


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("branch = 'root' AND number = 1", other_reason),
        ("branch LIKE 'root/%' AND number = 2 AND record LIKE '%loss%'", other_reason),
        ("branch LIKE 'root/%' AND number = 2 AND record LIKE '%loss%'", better),
        ("branch LIKE 'root/%' AND number = 2 AND record LIKE '%loss%'", measured_better),
        ("branch LIKE 'root/%' AND record LIKE '%\"decisive\":%' AND record LIKE '%\"ledger\":{\"wander%'", credited),
        ("record LIKE '%Step wide.%'", learned_otherwise),
    ],
    ids=["outer reason", "inner reason", "score", "measurement", "ledger", "lesson"],
)
def test_one_changed_trial_makes_a_replay_fail_and_name_it(whole, bilevel, where, change):
    only = f"rowid_of = 1 AND {where}" if False else where
    with sqlite3.connect("run/run.sqlite3") as connection:
        branch, number = connection.execute(
            f"SELECT branch, number FROM trials WHERE {only} ORDER BY branch, number"
        ).fetchone()
    connection.close()
    changed(("trials", "branch = ? AND number = ?"), change, branch, number)
    done = bilevel("replay", "run")
    assert done.code == 1, done.said
    assert f"trial {number} of branch {branch!r}" in done.err, done.err


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM calls WHERE number = 3",
        "DELETE FROM trials WHERE branch = 'root' AND number = 2",
        "DELETE FROM trials WHERE branch LIKE 'root/%' AND number = 2",
    ],
)
def test_a_record_that_is_missing_makes_a_replay_fail(whole, bilevel, statement):
    with sqlite3.connect("run/run.sqlite3") as connection:
        assert connection.execute(statement).rowcount
    connection.close()
    done = bilevel("replay", "run")
    assert done.code == 1, done.said
    assert "Traceback" not in done.err and "trial" in done.err
