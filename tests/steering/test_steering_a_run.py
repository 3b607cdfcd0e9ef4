"""A second process pauses, resumes and stops a run and changes its budget, in every phase of an iteration."""

import contextlib
import sqlite3

import pytest
from steered import PHASES, Once, recipe, replayed, search

from bilevel.store.folder import RunFolder


def what_is_stored(path):
    """The trials of the run, the acts with what became of them, and its state."""
    folder = RunFolder.read(path)
    try:
        store = folder.store
        return store.trials("root"), store.acts(), store.effects(), folder.meta("state")
    finally:
        folder.close()


def place_after(phase, number):
    """With which trial an act is taken up that is given in this phase of one."""
    return number if phase == "before the ask" else number + 1


@pytest.mark.parametrize("phase", PHASES)
def test_stop_ends_the_run_after_the_trial_that_is_running(tmp_path, second, phase):
    whole, path = tmp_path / "whole", tmp_path / "run"
    search(whole, recipe(5), lambda *_: None)
    state = search(path, recipe(5), Once(phase, 2, lambda: second.gives("stop", path, "--author", "Ada")))
    trials, (act,), (effect,), _ = what_is_stored(path)
    assert state == "stopped"
    assert len(trials) == effect.number == place_after(phase, 2)
    assert (act.kind, act.author, effect.outcome) == ("stop", "Ada", "taken up") and act.at > 1e9
    assert search(path, None, lambda *_: None) == "finished"
    assert what_is_stored(path)[0] == what_is_stored(whole)[0]


@pytest.mark.parametrize("phase", PHASES)
def test_a_paused_run_waits_until_it_may_go_on_and_is_the_run_that_would_have_been(tmp_path, second, phase):
    whole, path, seen = tmp_path / "whole", tmp_path / "run", []
    search(whole, recipe(4), lambda *_: None)
    pause = Once(phase, 2, lambda: second.gives("pause", path))

    def at(now, number):
        pause(now, number)
        if now == "while it is paused" and not seen:
            seen.append(len(what_is_stored(path)[0]))
            assert second("status", path)[1].startswith("paused")
            second.gives("resume", path)

    assert search(path, recipe(4), at) == "finished"
    trials, acts, effects, _ = what_is_stored(path)
    assert seen == [place_after(phase, 2)]
    assert [act.kind for act in acts] == ["pause", "resume"]
    assert [effect.number for effect in effects] == [place_after(phase, 2)] * 2
    assert trials == what_is_stored(whole)[0]
    assert replayed(path) == 5


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("amount", "ends"), [(3, 4), (7, 8)], ids=["lower", "higher"])
def test_a_budget_is_taken_up_with_the_next_trial(tmp_path, second, phase, amount, ends):
    path = tmp_path / "run"
    budget = Once(phase, 2, lambda: second.gives("budget", path, "--trials", amount))
    assert search(path, recipe(5), budget) == "finished"
    trials, (_act,), (effect,), _ = what_is_stored(path)
    assert len(trials) == ends
    assert effect.number == place_after(phase, 2)
    assert [trial.number for trial in trials if trial.acts] == [effect.number]
    assert replayed(path) == ends and second("verify", path)[0] == 0


def test_with_workers_what_runs_is_finished_before_a_pause(tmp_path, second):
    whole, path, seen = tmp_path / "whole", tmp_path / "run", []
    search(whole, recipe(8, workers=3), lambda *_: None)
    pause = Once("while it is told", 2, lambda: second.gives("pause", path))

    def at(now, number):
        pause(now, number)
        if now == "while it is paused" and not seen:
            folder = RunFolder.read(path)
            seen.append((len(folder.store.trials("root")), folder.store.pendings("root")))
            folder.close()
            second.gives("resume", path)

    assert search(path, recipe(8, workers=3), at) == "finished"
    assert seen[0][0] >= 3 and seen[0][1] == []
    assert what_is_stored(path)[0] == what_is_stored(whole)[0]


def test_a_finished_run_goes_on_with_a_higher_budget(tmp_path, second):
    path = tmp_path / "run"
    search(path, recipe(3), lambda *_: None)
    second.gives("budget", path, "--evaluations", 6)
    assert "waits to be taken up" in second("steer", "list", path)[1]
    code, said = second("steer", "budget", path, "--trials", 6)
    assert code == 0, said
    assert search(path, None, lambda *_: None) == "finished"
    assert len(what_is_stored(path)[0]) == 7
    assert replayed(path) == 7


def test_what_cannot_be_applied_is_refused_at_once_and_nothing_is_stored(tmp_path, second):
    path, said = tmp_path / "run", {}
    asks = {
        "resume": ("resume", path),
        "spent": ("budget", path, "--trials", 1),
        "measured": ("budget", path, "--evaluations", 1),
        "cycles": ("budget", path, "--cycles", 3),
        "none": ("budget", path, "--trials", 0),
        "two": ("budget", path, "--trials", 9, "--max-money", 3),
    }

    def act():
        said.update({name: second("steer", *ask) for name, ask in asks.items()})

    search(path, recipe(4), Once("while it is measured", 3, act))
    assert {code for code, _ in said.values()} == {2}
    assert "is not paused" in said["resume"][1]
    assert "1 is less than the 2 that run" in said["spent"][1] and "bilevel steer stop" in said["spent"][1]
    assert "1 is less than the 2 that run" in said["measured"][1]
    assert "has one level, so its budget is one of trials" in said["cycles"][1]
    assert "give a number above 0" in said["none"][1] and "one budget at a time" in said["two"][1]
    assert what_is_stored(path)[1] == []
    code, text = second("steer", "stop", path)
    assert code == 2 and "is finished, so 'stop' would change nothing" in text
    code, text = second("steer", "pause", tmp_path / "nowhere")
    assert code == 2 and "there is no folder" in text


def test_a_limit_of_the_whole_run_is_lowered_and_raised(tmp_path, second):
    path = tmp_path / "run"
    search(path, recipe(4), Once("while it is told", 1, lambda: second.gives("budget", path, "--max-seconds", 5000)))
    folder = RunFolder.read(path)
    assert folder.meta("limits") == {"seconds": 5000.0, "tokens": None, "money": None}
    folder.close()
    assert [effect.number for effect in what_is_stored(path)[2]] == [2]


def test_a_pause_outlives_the_process(tmp_path, second):
    path, waits = tmp_path / "run", []

    def paused_then_ended(now, number):
        Once("while it is measured", 2, lambda: second.gives("pause", path))(now, number)
        if now == "while it is paused":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(path, recipe(3), paused_then_ended)

    def at(now, number):
        if now == "while it is paused" and not waits:
            waits.append(len(what_is_stored(path)[0]))
            second.gives("resume", path)

    assert search(path, None, at) == "finished"
    assert waits == [3] and len(what_is_stored(path)[0]) == 4


def test_a_run_of_an_older_version_is_not_steered_before_it_goes_on_in_this_one(tmp_path, second):
    path = tmp_path / "run"
    search(path, recipe(3), lambda *_: None)
    with contextlib.closing(sqlite3.connect(path / "run.sqlite3")) as older:
        older.executescript("DROP TABLE acts; DROP TABLE effects; DROP TABLE stints; PRAGMA user_version = 2")
    code, said = second("steer", "budget", path, "--trials", 5)
    assert code == 1 and "runs can be steered from format 3 on" in " ".join(said.split())
    assert second("steer", "list", path) == (0, "nobody has steered this run\n")
    assert search(path, None, lambda *_: None) == "finished"
    second.gives("budget", path, "--trials", 5)
    assert search(path, None, lambda *_: None) == "finished"
    assert len(what_is_stored(path)[0]) == 6
