"""A real model at every level: its calls, its answers, its mistakes, and the run rebuilt without it.

The model is very small, so nothing here asserts that it is right: what must hold is what the loops make of it.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from serving import SERVER, started

from bilevel.call import Call, Finish
from bilevel.store.folder import RunFolder
from bilevel.trial import Status, Trial

pytestmark = pytest.mark.slow

NOBODY = "http://127.0.0.1:9/v1"  # an address at which no server is
MODELS = """
[models]
prompt_tokens = 1200
most_tokens = 320
reasks = 1
timeout = 120
patience = 60
attempts = 2
"""
B = """
name = "b-local"
title = "a small model searches, and turns its own settings"

[inner]
lessons = false

[inner.settings]
redrafts = 0

[[outer]]
level = "settings"
researcher = "settings_rules"
trials = 5
cycles = 2
redrafts = 0
"""
SESSION = """
name = "session-local"
title = "a small model is asked for a mechanism"

[inner]
researcher = "random"

[[outer]]
level = "mechanisms"
researcher = "llm"
trials = 4
cycles = 2
start = "fork"
redrafts = 1
"""


@dataclass(frozen=True)
class Recorded:
    """A run as its folder holds it, and what the command said."""

    path: Path
    said: str
    calls: tuple[Call, ...]
    trials: dict[str, list[Trial]]  # by level

    def of(self, level: str) -> list[Call]:
        return [call for call in self.calls if call.level == level]


def recorded(path: Path, done) -> Recorded:
    assert done.returncode == 0, done.stderr
    folder = RunFolder.read(path)
    try:
        calls = tuple(folder.store.call(summary.number) for summary in folder.store.calls())
        trials = {}
        for branch in folder.store.branches():
            trials.setdefault(branch.level, []).extend(folder.store.trials(branch.id))
        return Recorded(path, done.stdout, calls, trials)
    finally:
        folder.close()


@pytest.fixture(scope="module")
def settings_run(bilevel, address, tmp_path_factory) -> Recorded:
    """Recipe b on the sphere: 10 trials of level 1, and the settings between its cycles."""
    folder = tmp_path_factory.mktemp("b")
    (folder / "b.toml").write_text(B + MODELS)
    command = ["run", folder / "b.toml", "--model", "llamacpp:smollm2", "--folder", folder / "run"]
    return recorded(folder / "run", bilevel(*command, at=address))


@pytest.fixture(scope="module")
def session_run(bilevel, address, tmp_path_factory) -> Recorded:
    """A mechanism session over a search at random, so that the time is the session's own."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "session.toml").write_text(SESSION + MODELS)
    command = ["run", folder / "session.toml", "--model", "mechanisms=llamacpp:smollm2", "--folder", folder / "run"]
    return recorded(folder / "run", bilevel(*command, at=address))


def test_the_server_answers_the_test_question(bilevel, address):
    done = bilevel("models", "--test", "llamacpp:smollm2", "--json", at=address)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["error"] == "" and answer["tokens_out"] > 0
    assert answer["answered_by"].startswith("llamacpp:") and "/" not in answer["answered_by"]


def test_a_server_that_is_not_there_is_told_and_not_waited_for(bilevel):
    pytest.importorskip("pydantic_ai", reason="the extra llm is not installed")
    done = bilevel("models", "--test", "llamacpp:smollm2", at=NOBODY)
    assert done.returncode == 4 and NOBODY in done.stdout


@pytest.mark.parametrize("ends", ["import sys; sys.exit('no memory')", "import sys; sys.stdin.read()"])
def test_a_server_that_ends_or_says_nothing_is_an_error(ends, tmp_path):
    with pytest.raises(RuntimeError, match=r"no memory|no address within 2 s"):
        started([sys.executable, "-c", ends], tmp_path / "log", 2)


def test_the_server_ends_with_its_input(address, tmp_path):
    server = started([sys.executable, str(SERVER)], tmp_path / "log")
    assert server.address != address.removesuffix("/v1")
    assert server.stop() == 0


# ---- level 1 ----


def test_the_answers_of_level_1_are_json_that_fits_and_run_as_trials(settings_run):
    calls = settings_run.of("inner")
    answered = [call for call in calls if call.purpose == "propose" and call.reply.finish is Finish.STOP]
    assert answered
    for call in answered:
        assert call.request.schema is not None
        for draft in json.loads(call.reply.text)["drafts"]:
            assert set(draft) == {"why", "predicted_gain", "changes"}
    ran = [trial for trial in settings_run.trials["inner"][1:] if trial.score is not None]
    assert ran and all(trial.changes and trial.proposal.author == "llm" for trial in ran)


def test_the_budget_of_trials_is_used_and_every_trial_says_what_came_of_it(settings_run):
    trials = settings_run.trials["inner"]
    assert len(trials) == 11
    for trial in trials[1:]:
        assert trial.score is not None or (trial.status is not Status.OK and trial.reason)
    assert "Finished in" in settings_run.said and "level 1 (inner)" in settings_run.said


def test_calls_are_metered_and_their_price_is_unknown(settings_run):
    assert all(call.reply.tokens_in > 0 and call.seconds > 0 for call in settings_run.calls)
    assert all(call.reply.money is None for call in settings_run.calls)
    assert all(call.reply.tokens_out <= 320 and call.request.most_tokens == 320 for call in settings_run.calls)


# ---- level 1.5 ----


def test_settings_are_asked_for_and_what_came_of_it_is_recorded(settings_run):
    assert settings_run.of("settings")
    for trial in settings_run.trials["settings"][1:]:
        assert trial.proposal.author == "llm settings"
        assert trial.score is not None or (trial.faults and "could not be used" in trial.reason)


# ---- level 2 ----


def test_sessions_go_through_their_rounds_and_the_outcome_says_why(session_run):
    sessions = session_run.trials["mechanisms"][1:]
    assert len(sessions) == 1
    for trial in sessions:
        asked = [call for call in session_run.of("mechanisms") if call.trial == trial.number]
        rounds = list(dict.fromkeys(call.purpose.split("/")[1].split(" ")[0] for call in asked))
        assert rounds == ["explore", "critique", "specify", "generate", "repair"][: len(rounds)] and len(rounds) > 1
        if trial.faults:  # an answer stayed unusable
            assert trial.status is Status.REFUSED and "the model's answer could not be used" in trial.reason
        elif trial.status is Status.REFUSED:  # at the door
            assert "generate" in rounds and trial.turned_back and trial.turned_back[-1].reason
        else:  # admitted: measured against a control, or it says itself that nothing was decisive
            assert trial.score is not None and trial.decision.reason


def test_a_run_of_failed_sessions_ends_well_and_says_so(session_run):
    assert "Finished in" in session_run.said
    for trial in session_run.trials["mechanisms"][1:]:
        if trial.score is None:
            assert f"level 2, trial {trial.number}" in session_run.said
            assert f"discarded: {trial.reason[:40]}" in session_run.said


# ---- without the model ----


@pytest.mark.parametrize("name", ["settings_run", "session_run"])
def test_a_run_is_rebuilt_without_the_model(name, bilevel, request):
    run = request.getfixturevalue(name)
    done = bilevel("replay", run.path, "--json", at=NOBODY)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["calls"] == len(run.calls) and found["trials"] == sum(map(len, run.trials.values()))
