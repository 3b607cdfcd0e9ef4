"""`kill -9` while an act is pending, in every phase: the resumed run is the one that would have been."""

import pytest
from steered import PHASES, Once, essence, killed, recipe_named, replayed, search

from bilevel.store.folder import RunFolder


def nothing(phase, number):
    """Nobody does anything."""


def resumes(path, second):
    """Ends a pause as soon as the run is in it."""
    done = []

    def at(phase, number):
        if phase == "while it is paused" and not done:
            done.append(second.gives("resume", path))

    return at


def both(one, other):
    def at(phase, number):
        one(phase, number)
        other(phase, number)

    return at


def shows_the_same(tmp_path, second, name, phase, number, act):
    """A run to which an act is given in a phase of a trial, once without a kill and once killed there and resumed."""
    whole, path = tmp_path / "whole", tmp_path / "killed"
    given = [arg for arg in act[1:]]
    once = Once(phase, number, lambda: second.gives(act[0], whole, *given))
    ended = search(whole, recipe_named(name), both(once, resumes(whole, second)))
    assert once.done
    killed(path, name, phase, number, lambda: second.gives(act[0], path, *given))
    assert "waits to be taken up" in second("steer", "list", path)[1]
    assert search(path, None, resumes(path, second)) == ended
    if ended == "stopped":
        assert {search(one, None, nothing) for one in (whole, path)} == {"finished"}
    assert essence(path) == essence(whole)
    first, again = (effects_of(one) for one in (whole, path))
    assert first == again and all(outcome == "taken up" for *_, outcome in again)
    replayed(path)
    assert second("verify", path)[0] == 0


def effects_of(path):
    folder = RunFolder.read(path)
    try:
        return [(one.act, one.branch, one.number, one.outcome) for one in folder.store.effects()]
    finally:
        folder.close()


@pytest.mark.slow
def test_an_act_that_came_while_a_trial_ran_is_taken_up_after_the_kill(tmp_path, second):
    shows_the_same(tmp_path, second, "one level", "while it is measured", 2, ("freeze", "x"))


ONE_LEVEL = {
    "pause": ("one level", ("pause",)),
    "stop": ("one level", ("stop",)),
    "lower": ("one level", ("budget", "--trials", 4)),
    "higher": ("one level", ("budget", "--trials", 8)),
    "seconds": ("one level", ("budget", "--max-seconds", 4000)),
    "guide": ("one level", ("guide", "look at x")),
    "freeze": ("one level", ("freeze", "x", "--why", "it is good")),
    "unfreeze": ("frozen", ("unfreeze", "z")),
}


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("act", ONE_LEVEL)
def test_every_act_outlives_a_kill_in_every_phase(tmp_path, second, act, phase):
    shows_the_same(tmp_path, second, ONE_LEVEL[act][0], phase, 2, ONE_LEVEL[act][1])


FORKS = {
    "guide": ("guide", "look at x"),
    "freeze": ("freeze", "y"),
    "pin": ("pin", "restart"),
    "retire": ("retire", "tabu"),
    "cycles": ("budget", "--cycles", 3),
    "stop": ("stop",),
    "pause": ("pause",),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("while it is proposed", 6),  # in the challenger's arm of the first fork
        ("while it is measured", 6),
        ("before the ask", 1),  # between two cycles
        ("while it is told", 1),  # when the fork is decided
    ],
)
@pytest.mark.parametrize("act", FORKS)
def test_every_act_outlives_a_kill_in_a_fork_and_between_cycles(tmp_path, second, act, phase, number):
    shows_the_same(tmp_path, second, "forks", phase, number, FORKS[act])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gate", "asks", "repeats"])  # at a keep; at a call, a measurement within a trial
@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_an_answer_outlives_a_kill_at_the_gate(tmp_path, second, answer, name):
    whole, path = tmp_path / "whole", tmp_path / "killed"
    waits = []

    def at(phase, number, path=whole):
        if phase == "while it is paused":
            folder = RunFolder.read(path)
            now = folder.meta("gate")
            folder.close()
            if now["id"] not in waits:
                waits.append(now["id"])
                second.gives(answer, path, now["id"])

    ended = search(whole, recipe_named(name), at)
    first = list(waits)
    killed(path, name, "while it is paused", 0, lambda: second.gives(answer, path, first[0]))
    waits[:] = first[:1]
    assert search(path, None, lambda phase, number: at(phase, number, path)) == ended
    assert waits == first and essence(path) == essence(whole)
    replayed(path)


@pytest.mark.slow
def test_with_workers_a_kill_while_an_act_is_pending_changes_nothing(tmp_path, second):
    path = tmp_path / "killed"
    killed(path, "workers", "while it is told", 2, lambda: second.gives("freeze", path, "x"))
    assert search(path, None, nothing) == "finished"
    ((_, _, first, _),) = effects_of(path)
    frozen = [trial.number for trial in essence(path)["root"] if trial.number and "x" not in trial.changes]
    assert frozen == list(range(first, 7)) and replayed(path) == 7
