"""Searches by agents, as a user runs them: found, recorded, resumed, replayed."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import TASK, command_of

LOOP = ("a", "--task", "line", "--folder", "run")


@pytest.fixture(autouse=True)
def place(task_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def calls_in(log):
    return Path(log).read_text().count("\n") if Path(log).exists() else 0


def recipe(text, name="mine.toml"):
    Path(name).write_text(f'name = "mine"\ntitle = "A search by an agent"\ntask = "line"\n{text}')
    return name


# ---- finding ----


@pytest.mark.slow
def test_an_agent_improves_files_trial_by_trial(bilevel, bilevel_json):
    done = bilevel("run", *LOOP, "--agent", command_of("step", Path("log").resolve()), "--trials", 3)
    assert done.code == 0, done.err
    assert "inner agent:scripted_agent.py · a coding agent runs as you do: in no sandbox" in done.out
    trials = bilevel_json("show", "run")
    assert [trial["score"] for trial in trials] == sorted((t["score"] for t in trials), reverse=True)
    assert trials[-1]["score"] < 8.0 and calls_in("log") == 3
    shown = bilevel_json("show", "run", "--trial", 2)
    assert shown["proposal"]["why"] == "call 2" and shown["proposal"]["author"] == "agent"
    assert "return 5.9" in bilevel("diff", "run").out or "return 4.9" in bilevel("diff", "run").out


def test_a_constant_that_is_edited_in_its_file_becomes_a_change_of_the_parameter(bilevel, bilevel_json):
    assert bilevel("run", *LOOP, "--agent", command_of("good"), "--trials", 1).code == 0
    trial = bilevel_json("show", "run", "--trial", 1)
    candidate = trial["proposal"]["candidate"]
    assert candidate["params"]["SLOPE"] == 1.5 and candidate["files"] == {}
    assert trial["proposal"]["why"] == "the slope is too steep"
    assert trial["proposal"]["notes"]["predicted_gain"] == 0.5


def test_a_parameter_may_be_changed_by_what_the_agent_says(bilevel, bilevel_json):
    assert bilevel("run", *LOOP, "--agent", command_of("by_proposal"), "--trials", 1).code == 0
    assert bilevel_json("show", "run", "--trial", 1)["proposal"]["candidate"]["params"]["SLOPE"] == 2.0


def test_where_only_constants_are_open_code_is_left_out_and_said(bilevel, bilevel_json, task_folder):
    text = TASK["task.toml"].replace('editable = ["model.py", "parts/**"]', "editable = []")
    (task_folder / "task.toml").write_text(text)
    assert bilevel("run", *LOOP, "--agent", command_of("constants_and_code"), "--trials", 1).code == 0
    proposal = bilevel_json("show", "run", "--trial", 1)["proposal"]
    assert proposal["candidate"]["params"]["SLOPE"] == 2.5 and proposal["candidate"]["files"] == {}
    assert "model.py: only its constants may be changed" in proposal["notes"]["not_taken"][0]


def test_several_drafts_are_several_calls(bilevel, bilevel_json):
    name = recipe(
        '[inner]\nresearcher = "agent"\ntrials = 1\n[inner.settings]\ndrafts = 2\n'
        f"[agent]\ncommand = {json.dumps(command_of('step', Path('log').resolve()))}\n"
    )
    assert bilevel("run", name, "--folder", "run").code == 0
    assert [call["purpose"] for call in bilevel_json("show", "run", "--calls")] == ["propose", "propose"]
    assert calls_in("log") == 2


# ---- told what is wrong ----


def test_an_agent_is_told_why_its_change_cannot_be_used_and_goes_on_with_it(bilevel, bilevel_json):
    assert bilevel("run", *LOOP, "--agent", command_of("broken", Path("log").resolve()), "--trials", 1).code == 0
    first, second, _ = Path("log").read_text().split("\0")
    assert "cannot be used" not in first and "parts/shape.py would not be valid Python" in second
    trial = bilevel_json("show", "run", "--trial", 1)
    assert "5.0 + 0.5" in trial["proposal"]["candidate"]["files"]["parts/shape.py"]
    assert bilevel("replay", "run").code == 0 and len(Path("log").read_text().split("\0")) == 3


def test_a_locked_constant_cannot_be_changed(bilevel, bilevel_json):
    assert bilevel("run", *LOOP, "--agent", command_of("locked"), "--trials", 1).code == 0
    trial = bilevel_json("show", "run", "--trial", 1)
    assert "SEED is locked by the task" in json.dumps(trial)


def test_a_slip_is_mended_in_the_next_trial_with_the_end_of_its_log(bilevel, bilevel_json):
    assert bilevel("run", *LOOP, "--agent", command_of("slips", Path("log").resolve()), "--trials", 2).code == 0
    trials = bilevel_json("show", "run")
    assert [trial["status"] for trial in trials] == ["ok", "exit", "ok"]
    assert bilevel_json("show", "run", "--trial", 2)["proposal"]["notes"]["repair_of"] == 1


def test_a_briefing_has_the_task_the_history_and_what_may_be_edited(bilevel, bilevel_json):
    assert bilevel("run", *LOOP, "--agent", command_of("reports_briefing"), "--trials", 2).code == 0
    seen = bilevel_json("show", "run", "--call", 2)["request"]["messages"][0]["text"]
    for words in (
        "Make the line flat and low.",
        "May be edited: model.py, parts/**",
        "Protected, whatever the line above says: data.py, parts/fixed.py",
        "SLOPE = 3.0: number from 0.1 to 10",
        "Fixed, not to be changed: SEED = 7",
        "#1 from #0: parts/shape.py",
        "PROPOSAL.json",
    ):
        assert words in seen, words


def test_prompts_and_skills_stand_in_the_briefing_where_they_have_a_say(bilevel, bilevel_json):
    Path("narrow.prompt.md").write_text("Stay close to what there is.")
    Path("late.skill.md").write_text("---\nwhen: trials >= 1\n---\nLook at the shape.")
    mechanisms = '[inner]\nresearcher = "agent"\nmechanisms = ["./narrow.prompt.md", "./late.skill.md"]\n'
    args = ("run", recipe(mechanisms), "--folder", "run", "--agent", command_of("reports_briefing"), "--trials", 2)
    done = bilevel(*args)
    assert done.code == 0, done.err
    first, second = (
        bilevel_json("show", "run", "--call", number)["request"]["messages"][0]["text"] for number in (1, 2)
    )
    assert "Stay close to what there is." in first and "Advice from skill late" not in first
    assert "## Advice from skill late\nLook at the shape." in second
    ledger = bilevel_json("show", "run", "--trial", 1)["ledger"]
    assert ledger["skill:late"]["advise"]["touched"] == 0 < ledger["prompt:narrow"]["advise"]["touched"]
    Path("sure.memory.md").write_text("---\nmost: 2\n---\n")
    refused = bilevel("run", recipe(mechanisms.replace("late.skill", "sure.memory")), "--agent", command_of("good"))
    assert refused.code == 2 and "it works with: prompt, skill" in refused.err


# ---- misdeeds do not end a search ----


@pytest.mark.slow
def test_the_search_goes_on_after_each_misdeed_and_says_what_it_was(bilevel, bilevel_json):
    name = recipe(
        '[inner]\nresearcher = "agent"\ntrials = 6\n[inner.settings]\nredrafts = 0\n'
        f"[agent]\ncommand = {json.dumps(command_of('in_turn', Path('log').resolve()))}\nreasks = 0\n"
    )
    assert bilevel("run", name, "--folder", "run").code == 0
    reasons = [bilevel_json("show", "run", "--trial", number)["decision"]["reason"] for number in range(1, 7)]
    told = ["(deleted)", "exit code 3", "parts/shape.py (not text)", "data.py (protected)", ".git (git)", "EOFError"]
    for number, (reason, words) in enumerate(zip(reasons, told, strict=True), 1):
        if words == "parts/shape.py (not text)":  # beside it there is a change that can be tried
            notes = bilevel_json("show", "run", "--trial", number)["proposal"]["notes"]
            assert any(words in text for text in notes["not_taken"])
        else:
            assert words in reason, reason
    assert bilevel("replay", "run").code == 0 and calls_in("log") == 6


def test_a_key_in_an_agents_output_is_not_stored(bilevel, monkeypatch):
    key = "sk-ant-0123456789abcdefghij"
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    name = recipe(
        '[inner]\nresearcher = "agent"\ntrials = 1\n'
        f"[agent]\ncommand = {json.dumps(command_of('reports_environment'))}\nenv_pass = ['ANTHROPIC_API_KEY']\n"
    )
    assert bilevel("run", name, "--folder", "run").code == 0
    assert "[secret]" in bilevel("show", "run", "--call", 1).out
    assert not any(key.encode() in file.read_bytes() for file in Path("run").rglob("*") if file.is_file())


# ---- resumed, replayed ----


def test_a_replay_runs_no_agent(bilevel, monkeypatch):
    command = command_of("step", Path("log").resolve())
    assert bilevel("run", *LOOP, "--agent", command, "--trials", 2).code == 0
    monkeypatch.setenv("PATH", "")
    done = bilevel("replay", "run")
    assert done.code == 0, done.err
    assert "byte for byte" in done.out and calls_in("log") == 2


@pytest.mark.slow
def test_a_run_killed_while_an_agent_works_asks_only_that_again(bilevel, bilevel_json, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    os.mkfifo("fifo")
    log, fifo = Path("log").resolve(), Path("fifo").resolve()
    args = ("run", *LOOP, "--agent", command_of("waits_once", log, fifo), "--trials", "3")
    running = subprocess.Popen([sys.executable, "-m", "bilevel", *args], stdout=subprocess.DEVNULL)
    with open(fifo) as told:
        assert told.readline() == "waiting\n"
        running.kill()
        running.wait()
        assert told.read() == ""  # ends when the agent is dead
    (left,) = temporary.glob("bilevel-agent-*")
    os.utime(left, (0, 0))
    killed = bilevel("replay", "run")
    assert killed.code == 0, killed.err
    resumed = bilevel("resume", "run")
    assert resumed.code == 0, resumed.err
    assert calls_in(log) == 4  # one for each trial, and the one that was killed again
    assert not list(temporary.glob("bilevel-agent-*"))
    trials = bilevel_json("show", "run")
    assert [trial["score"] for trial in trials] == [10.0, 9.0, 8.0, 7.0]
    assert all("SLOPE" not in json.dumps(trial["changes"]) for trial in trials)
    assert bilevel("replay", "run").code == 0 and calls_in(log) == 4


@pytest.mark.slow
def test_a_run_is_resumed_from_another_folder_with_the_same_agent(bilevel, tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "mine.py").write_text(Path(command_of("x").split()[1]).read_text())
    log = tmp_path / "log"
    done = bilevel(
        "run", *LOOP, "--agent", f"{{python}} tools/mine.py step {log}", "--trials", 4, "--max-seconds", 0.01
    )
    assert done.code == 0 and calls_in(log) < 4, done.err
    away = tmp_path / "away"
    away.mkdir()
    command = [sys.executable, "-m", "bilevel", "resume", str(tmp_path / "run"), "--max-seconds", "600"]
    subprocess.run(command, cwd=away, capture_output=True, check=True)
    assert calls_in(log) == 4


# ---- what cannot be run ----


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--agent", "no-such-agent {prompt}"), "there is no program 'no-such-agent' on the PATH"),
        (("--agent", "mine {promt}"), "has a place {promt}"),
        (("--agent", "mine 'open"), "is not a command line"),
        (("--agent", " "), "no agent is named"),
        (("--researcher", "agent"), "no agent is named"),
        (("--agent", "claude"), "has no key: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN"),
        (("--agent", "mine", "--task", "sphere"), "edits files, and task 'sphere'"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_made(bilevel, args, said):
    task = () if "--task" in args else ("--task", "line")
    done = bilevel("run", "a", *task, "--folder", "run", *args)
    assert done.code == 2 and said in done.err.replace("\n", " "), done.err
    assert not Path("run").exists()
