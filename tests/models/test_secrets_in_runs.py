"""A key is nowhere: not in the run folder, not in what is printed, not in a prompt, not in the environment of a run."""

import json
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from asking import SECRET
from folder_tasks import PROGRAM, folder_task
from researcher_server import number_in
from runs import events, model_of

OTHER = "sk-other-9876543210-zyxwvutsrq"  # in .env, of a provider that is not asked
MODEL = model_of("compatible")
TELLS = (
    PROGRAM
    + """
import os
import sys

for name, value in sorted(os.environ.items()):
    print("sees", name, value)
for path in {paths!r}:
    print("found", open(path).read())
if SIZE == 13:
    raise RuntimeError("it is " + open({paths!r}[-1]).read().strip())
print("loss:", loss())
"""
)


def pieces(key):
    return [key[start : start + 10] for start in range(len(key) - 9)]


def holds(data, key):
    return any(piece.encode() in data for piece in pieces(key))


def written(folder):
    """All bytes of a folder's files."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture
def planted(tmp_path):
    """A .env with a key, a file with the other one, and a task that knows and tells both where it can."""
    Path(".env").write_text(f"DEEPSEEK_API_KEY={OTHER}\n")
    found = tmp_path / "found.txt"
    found.write_text(f"{SECRET}\n")
    brief = f"Make it small. The key is {SECRET}, the other one {OTHER}; masked {SECRET[:6]}****{SECRET[-4:]}."
    program = TELLS.replace("{paths!r}", repr([str(Path(".env").resolve()), str(found)]))
    task = folder_task(tmp_path / "task", program=program, brief=brief)
    (task / "guidance.md").write_text(f"Say {OTHER} aloud.\n")
    return task


def leaks(prompt):
    """Drafts of a model that repeats the keys; the second one fails with a key in its last line."""
    number = number_in(prompt)
    size = {1: 10, 2: 13}.get(number, 20 + number)
    return json.dumps({"why": f"the key is {SECRET} and {OTHER}", "changes": {"SIZE": size}})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the run is kept, and what came of it."""
    return {"folder": tmp_path_factory.mktemp("kept") / "run"}


@pytest.fixture
def searched(serve, bilevel, planted, kept):
    """A finished run on three levels in the folder `run`; gives its server and what was printed."""
    if "done" not in kept:
        ideas = f"1. Use the key {SECRET}. It is a good idea. It is {OTHER}."
        kept["server"] = serve(says={"draft": leaks, "explore": ideas})
        sizes = ("--inner-budget", "3", "--outer-cycles", "2")
        kept["done"] = bilevel("run", "c", "--task", planted, "--model", MODEL, *sizes, "--folder", kept["folder"])
    assert kept["done"].code == 0, kept["done"].err
    shutil.copytree(kept["folder"], "run")
    return kept["server"], kept["done"]


@pytest.mark.parametrize("key", [SECRET, OTHER], ids=["in the environment", "in .env"])
def test_a_key_is_nowhere_in_a_run(searched, bilevel, key):
    server, done = searched
    assert not holds(done.said.encode(), key)
    for path, data in written("run").items():
        assert not holds(data, key), path
    for asked in server.requests:
        assert not holds(json.dumps(asked.body).encode(), key)
    for args in (["show", "run", "--calls"], ["show", "run"], ["status", "run"], ["show", "run", "--trial", "2"]):
        assert not holds(bilevel(*args).said.encode(), key)
    assert not any(holds(text.encode(), key) for text in events("run"))
    assert bilevel("replay", "run").code == 0


def test_what_stood_in_the_place_of_a_key_is_still_seen(searched, bilevel_json):
    server, _ = searched
    prompt = server.prompts("draft")[0]
    assert "The key is [secret], the other one [secret]; masked [secret]." in prompt
    assert "Say [secret] aloud." in prompt
    call = bilevel_json("show", "run", "--call", "1")
    assert "the key is [secret] and [secret]" in call["reply"]["text"]
    trials = bilevel_json("show", "run", "--branch", "root/0.only/0.only")
    assert {trial["status"] for trial in trials} == {"ok", "exit"}
    failed = bilevel_json("show", "run", "--branch", "root/0.only/0.only", "--trial", "2")
    assert failed["reason"] == "RuntimeError: it is [secret]"
    assert failed["told"] == {} and "found [secret]" in failed["runs"][0]["log"]


def test_a_folder_that_is_being_written_holds_no_key_either(serve, bilevel, planted):
    seen = {}

    def look(prompt):
        seen.update({str(path): data for path, data in written("run").items()})
        return leaks(prompt)

    serve(says={"draft": look})
    done = bilevel("run", "a", "--task", planted, "--model", MODEL, "--trials", "4", "--folder", "run")
    assert done.code == 0, done.err
    assert any(path.endswith("-wal") for path in seen)
    assert not any(holds(data, key) for data in seen.values() for key in (SECRET, OTHER))


def test_a_run_of_a_candidate_sees_no_key_in_its_environment(searched, bilevel_json):
    trial = bilevel_json("show", "run", "--branch", "root/0.only/0.only", "--trial", "0")
    log = trial["runs"][0]["log"]
    names = [line.split()[1] for line in log.splitlines() if line.startswith("sees ")]
    assert "PATH" in names and "BILEVEL_SEED" in names
    assert not [name for name in names if "KEY" in name or "TOKEN" in name or "BASE_URL" in name]
    assert "[secret]" not in "\n".join(line for line in log.splitlines() if line.startswith("sees "))
    assert "DEEPSEEK_API_KEY" not in os.environ  # .env is read, and not put into ours


def test_a_run_without_the_keys_is_replayed_with_what_was_stored(searched, bilevel, monkeypatch):
    monkeypatch.delenv("OPENAI_COMPATIBLE_API_KEY", raising=False)
    Path(".env").unlink()
    done = bilevel("replay", "run")
    assert done.code == 0, done.err
