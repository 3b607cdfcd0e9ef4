"""Several persons at once, and acts that come where a run has just gone on: each says what became of it."""

import itertools
import math
import os
import subprocess
import threading

import pytest
from steered import Once, recipe, search

from bilevel.acts import REFUSED
from bilevel.errors import InputError
from bilevel.recipe import GateTable
from bilevel.run import start
from bilevel.steering.giving import MOST_TEXT, Asked, give
from bilevel.store.folder import RunFolder


def effects_of(path):
    folder = RunFolder.read(path)
    try:
        return {effect.act: (effect.outcome, effect.said) for effect in folder.store.effects()}
    finally:
        folder.close()


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped after a few trials."""
    path = tmp_path / "run"
    assert search(path, recipe(6), Once("while it is measured", 2, lambda: give(path, Asked("stop")))) == "stopped"
    return path


def test_two_acts_that_are_fine_alone_are_not_both_taken_at_once(stopped):
    refused, barrier = [], threading.Barrier(3)

    def freeze(name: str) -> None:
        barrier.wait()
        try:
            give(stopped, Asked("freeze", name))
        except InputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=freeze, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1 and "is the last one that is free" in refused[0]
    assert search(stopped, None, lambda phase, number: None) == "finished"


def test_a_budget_is_a_number_that_can_be_stored(stopped):
    for what, value in itertools.product(
        ("seconds", "tokens", "money", "trials", "evaluations"), (math.inf, math.nan, 1e300, -1.0, 0.0)
    ):
        with pytest.raises(InputError, match=f"budget {what}: .* is no amount; give a number above 0"):
            give(stopped, Asked("budget", what, value=value))


def test_a_text_that_cannot_be_stored_and_shown_is_refused(stopped):
    for asked, said in (
        (Asked("guide", text="\udcff"), "is no text: it holds"),
        (Asked("guide", text="a\0b"), "is no text: it holds"),
        (Asked("freeze", "x", text="\udcff"), "is no text: it holds"),
        (Asked("freeze", "x", text="w" * (MOST_TEXT + 1)), "a reason is a text of at most"),
        (Asked("freeze", "x", author="a\nb"), "an author is a name in one line"),
        (Asked("freeze", "x", author="a\x1b[2Jb"), "an author is a name in one line"),
    ):
        with pytest.raises(InputError, match=said):
            give(stopped, asked)
    assert len(effects_of(stopped)) == 1  # the stop


def test_a_second_stop_ends_no_second_session(tmp_path):
    path, said = tmp_path / "run", []

    def at(phase: str, number: int) -> None:
        moments = (
            ("while it is told", 3),
            ("while it is measured", 4),
            ("while it is told", 4),
        )  # 4 is asked for by then
        if (phase, number) in moments and (phase, number) not in said:
            said.append((phase, number))
            give(path, Asked("stop"))

    assert search(path, recipe(8, workers=2), at) == "stopped"
    assert len(said) > 2  # also while the rest of what ran was told
    assert set(effects_of(path).values()) == {("taken up", "")}
    assert search(path, None, lambda phase, number: None) == "finished"


def test_what_comes_after_the_search_is_refused_at_the_end_of_the_run(tmp_path):
    path = tmp_path / "run"
    with start(recipe(3), path) as session:
        claim = session.claim

        def claiming() -> None:
            give(path, Asked("guide", text="too late"))
            claim()

        session.claim = claiming
        session.execute()
    assert [outcome for outcome, _ in effects_of(path).values()] == [REFUSED]


def test_of_two_answers_to_a_question_the_last_counts_and_the_other_says_so(tmp_path):
    path = tmp_path / "run"
    made = recipe(6).model_copy(update={"gate": GateTable(keep=True)})

    def both() -> None:
        give(path, Asked("approve", author="one"))
        give(path, Asked("reject", author="two"))

    asked = Once("while it is paused", 0, both)

    def at(phase: str, number: int) -> None:
        answered = asked.done
        asked(phase, number)
        if answered and phase == "while it is paused":
            give(path, Asked("reject"))

    assert search(path, made, at) == "finished"
    assert effects_of(path)[1] == (REFUSED, "act 2 took it back") and effects_of(path)[2][0] == "taken up"


def test_the_way_out_of_a_closed_gate_names_the_run_and_leaves_what_a_person_said(tmp_path):
    path = tmp_path / "a run"
    with start(recipe(6).model_copy(update={"gate": GateTable(evaluations=2)}), path) as session:
        session.hearing.nap = lambda: give(path, Asked("reject", text="RUN 3 was better", author="Ada"))
        session.execute()
    assert "rejected by Ada: RUN 3 was better; `bilevel steer approve" in session.ended
    assert f"`bilevel resume '{path}'` goes on" in session.ended


def test_a_run_whose_process_is_gone_is_not_alive_because_another_has_its_number(stopped):
    folder = RunFolder.read(stopped)
    lock = stopped / "lock"
    mine = f"process {os.getpid()} on {os.uname().nodename}"
    assert lock.read_text().startswith(f"{mine}, begun at ") and folder.has_writer()
    lock.write_text(f"{mine}, begun at 1")
    assert not folder.has_writer()
    dead = subprocess.Popen(["true"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has waited for it
    lock.write_text(f"process {dead.pid} on {os.uname().nodename}")
    assert not folder.has_writer()
    dead.wait()
    folder.close()
