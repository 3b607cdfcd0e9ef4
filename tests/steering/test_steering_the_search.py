"""A second process tells loops how to search: guidance, frozen parameters, mechanisms; on the level that is meant."""

import json

import pytest
from steered import PHASES, Once, recipe, replayed, search

from bilevel.lab import Traces
from bilevel.levels import leaf_branch
from bilevel.run import recorded
from bilevel.store.folder import RunFolder


def place_after(phase, number):
    """With which trial an act is taken up that is given in this phase of one."""
    return number if phase == "before the ask" else number + 1


def trials_of(path, branch="root"):
    folder = RunFolder.read(path)
    try:
        return folder.store.trials(branch)
    finally:
        folder.close()


def effects_of(path):
    folder = RunFolder.read(path)
    try:
        return [(one.act, one.branch, one.number, one.outcome) for one in folder.store.effects()]
    finally:
        folder.close()


def innermost(path):
    """The trace of the innermost loop at the end of a run."""
    folder = RunFolder.read(path)
    try:
        _, spec = recorded(folder.config)
        traces = Traces(folder.store)
        branch = leaf_branch(traces, spec, "root")
        return traces.trace(branch, spec.task.inner.task.objective)
    finally:
        folder.close()


@pytest.mark.parametrize("phase", PHASES)
def test_guidance_reaches_the_next_proposal_and_all_after_it(tmp_path, second, phase):
    path = tmp_path / "run"
    guide = Once(phase, 2, lambda: second.gives("guide", path, "look at x", "--author", "Ada"))
    search(path, recipe(4), guide)
    first = place_after(phase, 2)
    assert [trial.proposal.why for trial in trials_of(path)[1:]] == ["look at x" * (n >= first) for n in range(1, 5)]
    assert [trial.number for trial in trials_of(path) if trial.acts] == [first]
    assert effects_of(path) == [(1, "root", first, "taken up")]
    assert replayed(path) == 5 and second("verify", path)[0] == 0


@pytest.mark.parametrize("phase", PHASES)
def test_a_frozen_parameter_keeps_its_value_until_it_is_unfrozen(tmp_path, second, phase):
    path = tmp_path / "run"
    freeze = Once(phase, 2, lambda: second.gives("freeze", path, "x", "--why", "it is good"))
    unfreeze = Once(phase, 4, lambda: second.gives("unfreeze", path, "x"))

    def at(now, number):
        freeze(now, number)
        unfreeze(now, number)

    search(path, recipe(6), at)
    trials, first, last = trials_of(path), place_after(phase, 2), place_after(phase, 4)
    moved = ["x" in trial.changes for trial in trials[1:]]
    assert moved == [not first <= number < last for number in range(1, 7)]
    assert all("y" in trial.changes for trial in trials[1:])
    assert replayed(path) == 7 and second("verify", path)[0] == 0


def test_what_the_recipe_froze_is_unfrozen_for_good(tmp_path, second):
    path = tmp_path / "run"
    search(
        path,
        recipe(4, settings={"frozen": ("z",)}),
        Once("while it is told", 2, lambda: second.gives("unfreeze", path, "z")),
    )
    assert ["z" in trial.changes for trial in trials_of(path)[1:]] == [False, False, True, True]


def test_workers_take_an_act_up_with_the_next_trial_that_is_asked_for(tmp_path, second):
    path = tmp_path / "run"
    search(path, recipe(9, workers=3), Once("while it is told", 3, lambda: second.gives("freeze", path, "x")))
    frozen = [trial.number for trial in trials_of(path) if trial.number and "x" not in trial.changes]
    (_, _, first, _) = effects_of(path)[0]
    assert frozen == list(range(first, 10)) and 4 <= first <= 6
    assert replayed(path) == 10


FORK = {"mechanisms": ("tabu", "restart")}


def removing(made):
    """The recipe with a researcher of level 2 that takes out the first mechanism in each cycle."""
    outer = made.outer[0].model_copy(update={"researcher": "python:steered:Without", "proof_share": 0.0})
    return made.model_copy(update={"outer": (outer,)})


@pytest.mark.parametrize("where", ["challenger", "control", "between"])
def test_both_arms_of_a_fork_take_an_act_up_with_the_same_trial(tmp_path, second, where):
    """Trials 5 to 8 of the innermost loop are those of the first fork, in each arm."""
    path, asked = tmp_path / "run", []

    def at(now, number):
        asked.append((now, number))
        sixth = asked.count(("while it is proposed", 6))
        there = {"challenger": sixth == 1, "control": sixth == 2, "between": number == 0}[where]
        if now == {"between": "while it is told"}.get(where, "while it is proposed") and there and not given:
            given.append(True)
            second.gives("guide", path, "look at x")

    given = []
    search(path, removing(recipe(4, cycles=3, **FORK)), at)
    first = {"challenger": 7, "control": 9, "between": 5}[where]
    cycle = 2 if where == "control" else 1
    branches = [f"root/{cycle}.challenger", f"root/{cycle}.control"]
    assert effects_of(path)[:2] == [(1, branch, first, "taken up") for branch in branches]
    for branch in branches:
        said = [trial.proposal.why for trial in trials_of(path, branch)]
        assert said == ["look at x" * (trial.number >= first) for trial in trials_of(path, branch)]
    assert innermost(path)[-1].proposal.why == "look at x"
    replayed(path)
    assert second("verify", path)[0] == 0


def test_a_level_that_begins_anew_takes_up_what_was_said_once_more(tmp_path, second):
    made = removing(recipe(3, cycles=3, start="continue", **FORK))
    made = made.model_copy(update={"outer": (made.outer[0].model_copy(update={"wipe": True}),)})
    path = tmp_path / "run"
    search(path, made, Once("while it is told", 0, lambda: second.gives("freeze", path, "x")))
    for branch in ("root/1.only", "root/2.only"):
        assert all("x" not in trial.changes for trial in trials_of(path, branch))
    assert [effect[1] for effect in effects_of(path)] == ["root/1.only", "root/2.only"]


# ---- mechanisms ----


def test_a_mechanism_of_a_run_of_one_level_is_retired_for_good(tmp_path, second):
    path, said = tmp_path / "run", []

    def act():
        said.append(second("steer", "pin", path, "tabu"))
        second.gives("retire", path, "tabu")

    search(path, recipe(5, **FORK), Once("while it is measured", 2, act))
    assert ["tabu" in trial.ledger for trial in trials_of(path)[1:]] == [True, True, False, False, False]
    assert said[0][0] == 2 and "need not be pinned" in said[0][1]
    assert json.loads(second("status", path, "--json")[1])["in_force"] == ["restart"]
    assert replayed(path) == 6 and second("verify", path)[0] == 0


def calls(path, branch, name):
    """For each trial of a branch, whether a mechanism was asked anything."""
    return [name in trial.ledger for trial in trials_of(path, branch)]


def names_in_force(path):
    last = trials_of(path)[-1]
    return set((last.candidate if last.decision.keep else last.parent).files)


@pytest.mark.slow
def test_a_retired_mechanism_is_out_from_the_next_trial_on_and_does_not_come_back(tmp_path, second):
    path, made = tmp_path / "run", recipe(4, cycles=4, **FORK)
    retire = Once("while it is proposed", 6, lambda: second.gives("retire", path, "tabu", "--why", "it is in the way"))
    search(path, made, retire)
    for arm in ("challenger", "control"):
        assert calls(path, f"root/1.{arm}", "tabu")[2:] == [False, False]
    assert all("tabu" not in trial.parent.files for trial in trials_of(path)[2:])
    assert "tabu" not in names_in_force(path) and "restart" in names_in_force(path)
    assert second("steer", "retire", path, "tabu")[0] == 2
    shown = json.loads(second("status", path, "--json")[1])
    assert "tabu" not in shown["in_force"] and "restart" in shown["in_force"] and shown["acts"][0]["kind"] == "retire"
    replayed(path)
    assert second("verify", path)[0] == 0


def test_a_mechanism_on_trial_that_is_retired_is_not_kept(tmp_path, second):
    """The fork tries one more mechanism; a person takes it out while the fork goes on."""
    path, tried = tmp_path / "run", []

    def at(now, number):
        if now == "while it is proposed" and number == 6 and not tried:
            folder = RunFolder.read(path)
            (pending,) = folder.store.pendings("root")
            folder.close()
            (name,) = set(pending.proposal.candidate.files) - set(pending.parent.files)
            tried.append(name)
            second.gives("retire", path, name)

    search(path, recipe(4, cycles=3, **FORK), at)
    fork = trials_of(path)[1]
    assert tried[0] in fork.candidate.files and not fork.decision.keep
    assert [act.kind for act in fork.late] == ["retire"]
    assert tried[0] not in names_in_force(path)
    assert (1, "root", 1, "taken up") in effects_of(path)
    replayed(path)
    assert second("verify", path)[0] == 0


def test_a_pinned_mechanism_is_neither_removed_nor_tested(tmp_path, second):
    path, made = tmp_path / "run", removing(recipe(3, cycles=4, **FORK))
    search(path, made, Once("while it is proposed", 4, lambda: second.gives("pin", path, "tabu")))
    fork, after = trials_of(path)[1], trials_of(path)[2]
    assert "tabu" not in fork.candidate.files and not fork.decision.keep
    assert not fork.decision.reason.startswith("steered") or "pinned" in fork.decision.reason
    assert after.status.value == "refused" and "mechanism 'tabu' was pinned by a person" in after.reason
    assert "tabu" in names_in_force(path)
    assert second("verify", path)[0] == 0
    replayed(path)


def test_what_cannot_be_applied_is_refused_with_the_way_out(tmp_path, second):
    path, said = tmp_path / "run", {}
    asks = {
        "parameter": ("freeze", path, "w"),
        "locked": ("freeze", path, "on"),
        "free": ("unfreeze", path, "x"),
        "frozen": ("freeze", path, "y"),
        "level": ("guide", path, "more", "--level", "3"),
        "numbers": ("guide", path, "more", "--level", "mechanisms"),
        "empty": ("guide", path, " "),
        "mechanism": ("retire", path, "bandit"),
        "cycles": ("budget", path, "--trials", 9),
    }

    def act():
        second.gives("freeze", path, "y")
        second.gives("freeze", path, "z")
        said["last"] = second("steer", "freeze", path, "x")
        said.update({name: second("steer", *ask) for name, ask in asks.items()})

    search(path, recipe(3, cycles=2, **FORK), Once("while it is proposed", 2, act))
    assert {code for code, _ in said.values()} == {2}
    texts = {name: " ".join(text.split()) for name, (_, text) in said.items()}
    assert "has no parameter 'w'; it has: x, y, z, on" in texts["parameter"]
    assert "is locked by task 'plain'" in texts["locked"] and "is not frozen" in texts["free"]
    assert "'y' is frozen already" in texts["frozen"] and "the last one that is free" in texts["last"]
    assert "there is no level '3'; the levels are: inner, mechanisms" in texts["level"]
    assert "which reads no text" in texts["numbers"] and "a text of 1 to 4,000 characters" in texts["empty"]
    assert (
        "no mechanism 'bandit' is in force or on trial" in texts["mechanism"]
        and "inner: tabu, restart" in texts["mechanism"]
    )
    assert "its budget is one of cycles" in texts["cycles"]
    assert {effect[0] for effect in effects_of(path)} == {1, 2}
