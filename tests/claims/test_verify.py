"""`bilevel verify`: what a run states is computed again; each number that was changed is named where it stands."""

import json
import math
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import in_process

from bilevel.verifying.verify import verify

EXAMPLE = Path(__file__).parents[2] / "examples" / "smollm2-gpt" / "run"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A noisy run of level 1 and one of level 2, made once."""
    root = tmp_path_factory.mktemp("made")
    for folder, *options in (
        ("one", "a", "--trials", 20, "--task", "sphere:noise=0.02", "--researcher", "coordinate"),
        ("two", "d", "--task", "gpt-table", "--inner-budget", 6, "--outer-cycles", 4),
    ):
        done = in_process.run("run", *options, "--folder", folder, cwd=root)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(params=["one", "two"])
def run(request, made, tmp_path):
    return Path(shutil.copytree(made / request.param, tmp_path / request.param))


@pytest.fixture
def one(made, tmp_path):
    return Path(shutil.copytree(made / "one", tmp_path / "one"))


@pytest.fixture
def two(made, tmp_path):
    return Path(shutil.copytree(made / "two", tmp_path / "two"))


def change(folder, table, where, edit):
    """Edit the JSON of one record in the store."""
    column = "value" if table == "meta" else "record"
    with sqlite3.connect(folder / "run.sqlite3") as store:
        (text,) = store.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        data = json.loads(text)
        edit(data)
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        store.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (text,))
    store.close()


def named(path, *parts):
    """The one difference whose place has all these parts."""
    found = [each for each in verify(path).differences if all(part in each.where for part in parts)]
    assert len(found) == 1, verify(path).differences
    return found[0]


def numbers_in(data, path=()):
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        if isinstance(value, dict | list):
            yield from numbers_in(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)


def test_an_honest_run_passes_and_says_how_many_numbers_were_checked(run):
    done = in_process.run("verify", run, cwd=run.parent)
    assert done.returncode == 0, done.stdout
    found = verify(run)
    assert found.checked > 200 and f"{found.checked:,} numbers checked" in done.stdout
    assert json.loads(in_process.run("verify", run, "--json", cwd=run.parent).stdout)["differences"] == []


def test_every_number_in_the_claims_is_checked(run):
    """Each one, changed in its last digit, is named; so none is there that nothing gives."""
    path = run / "claims.json"
    data = json.loads(path.read_text())
    places = list(numbers_in(data))
    for place in places:
        part = data
        for key in place[:-1]:
            part = part[key]
        value = part[place[-1]]
        part[place[-1]] = value + 1 if isinstance(value, int) else math.nextafter(value, math.inf)
    path.write_text(json.dumps(data))
    named = ["".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place) for place in places]
    assert len(named) > 30
    assert sorted(each.where for each in verify(run).differences) == sorted(f"claims.json{place}" for place in named)


def kept_by(run, holds):
    """The number of a kept trial of the root whose record has what is asked for."""
    with sqlite3.connect(run / "run.sqlite3") as store:
        rows = store.execute("SELECT number, record FROM trials WHERE branch = 'root' AND number > 0").fetchall()
    store.close()
    found = [(number, json.loads(text)) for number, text in rows]
    return next(number for number, data in found if data["decision"]["keep"] and holds(data))


def test_a_trial_that_was_kept_by_another_rule_is_named(one):
    """A gain that is clear at once is kept on one seed: that it is, is computed again. So are runs of the parent."""
    clear = kept_by(one, lambda data: data["rule"] == {"name": "race", "depth": 1} and len(data["runs"]) == 1)
    raced = kept_by(one, lambda data: data["rule"]["depth"] == 2 and data["parent_runs"])
    change(one, "trials", f"branch = 'root' AND number = {clear}", lambda data: data["rule"].update(depth=2))
    assert "keep rule" in named(one, f"trial root#{clear} keep rule").where
    assert in_process.run("replay", one, cwd=one.parent).returncode == 1
    change(one, "trials", f"branch = 'root' AND number = {clear}", lambda data: data["rule"].update(depth=1))
    assert verify(one).differences == ()
    change(
        one,
        "trials",
        f"branch = 'root' AND number = {raced}",
        lambda data: data["parent_runs"][0]["metrics"].update(loss=9.0),
    )
    assert any(f"trial root#{raced} parent's" in each.where for each in verify(one).differences)
    assert in_process.run("replay", one, cwd=one.parent).returncode == 1


def test_a_claim_that_nothing_gives_is_named_and_so_is_a_file_that_is_gone(one):
    path = one / "claims.json"
    data = json.loads(path.read_text())
    data["claims"].append({**data["claims"][0], "claim": "it also makes coffee"})
    path.write_text(json.dumps(data))
    assert "claims" in named(path, "claims.json").where
    path.unlink()
    assert "not there" in named(one, "claims.json").stated


def test_a_changed_score_is_named(one):
    change(one, "trials", "number = 7", lambda data: data.update(score=data["score"] + 0.001))
    assert "0." in named(one, "trial root#7 score").given
    assert in_process.run("verify", one, cwd=one).returncode == 1


def test_a_changed_measurement_is_named_on_either_side(one, made, tmp_path):
    def better(data):
        data["runs"][0]["metrics"]["loss"] -= 0.25

    change(one, "trials", "number = 5", better)
    named(one, "trial root#5 run on", "metrics.loss")
    named(one, "trial root#5 score")
    other = shutil.copytree(made / "one", tmp_path / "other")
    wanted = "candidate = (SELECT json_extract(record, '$.proposal.candidate') FROM trials WHERE number = 5)"
    change(other, "runs", f"{wanted} AND rung = 'full'", lambda data: data["metrics"].update(loss=0.0001))
    named(other, "trial root#5 run on", "metrics.loss")


def test_a_decision_that_the_keep_rule_does_not_give_is_named(one):
    with sqlite3.connect(one / "run.sqlite3") as store:
        rows = store.execute("SELECT number, record FROM trials WHERE number > 0").fetchall()
    store.close()
    number = next(number for number, record in rows if not json.loads(record)["decision"]["keep"])
    change(one, "trials", f"number = {number}", lambda data: data["decision"].update(keep=True))
    named(one, f"trial root#{number} decision")


def test_a_changed_candidate_is_named(one):
    wanted = "id = (SELECT json_extract(record, '$.proposal.candidate') FROM trials WHERE number = 9)"
    change(one, "candidates", wanted, lambda data: data["params"].update(x0=0.123))
    named(one, "the store")


def test_a_changed_ledger_is_named(two):
    def more(data):
        hooks = next(iter(data["ledger"].values()))
        count = hooks[next(iter(hooks))]
        count["calls"] += 1

    with sqlite3.connect(two / "run.sqlite3") as store:
        place = store.execute(
            "SELECT branch, number FROM trials WHERE branch LIKE '%challenger' AND record LIKE '%\"calls\"%'"
        ).fetchone()
    store.close()
    change(two, "trials", f"branch = '{place[0]}' AND number = {place[1]}", more)
    found = verify(two).differences
    assert any("run" in each.where and "ledger" in each.where for each in found), found


def test_a_changed_gain_and_a_changed_e_value_of_a_fork_are_named(two, made, tmp_path):
    change(two, "trials", "branch = 'root' AND number = 2", lambda data: data["runs"][0]["metrics"].update(gain=9.0))
    named(two, "trial root#2 run.metrics.gain")
    other = shutil.copytree(made / "two", tmp_path / "other")

    def surer(data):
        data["climbs"][-1]["evidence"]["e_value"] = 20.5

    change(other, "trials", "branch = 'root' AND number = 2", surer)
    named(other, "trial root#2 climbs", "e_value")


def test_a_changed_round_or_allowance_of_the_claim_stage_is_named(one, made, tmp_path):
    def swapped(data):
        arms = data["rounds"][1]["arms"]
        arms["answer"], arms["baseline"] = arms["baseline"], arms["answer"]

    change(one, "meta", "key = 'claim'", swapped)
    assert any("claim stage round 1" in each.where for each in verify(one).differences)
    other = shutil.copytree(made / "one", tmp_path / "other")
    change(other, "meta", "key = 'claim'", lambda data: data["asked"][0]["allowed"].update(measurements=400))
    assert any("allowance.measurements" in each.where for each in verify(other).differences)


def test_a_replay_decides_the_claim_stage_again(one):
    from bilevel.errors import Diverged
    from bilevel.replay import replay

    assert replay(one).rounds > 2
    change(one, "meta", "key = 'claim'", lambda data: data["rounds"][1].update(seed=9))
    with pytest.raises(Diverged, match="claim stage round 1"):
        replay(one)


def test_a_changed_measurement_on_a_fresh_seed_is_named_through_the_claims(one):
    with sqlite3.connect(one / "run.sqlite3") as store:
        stage = json.loads(store.execute("SELECT value FROM meta WHERE key = 'claim'").fetchone()[0])
    store.close()
    answer = stage["rounds"][0]["arms"]["answer"]
    from bilevel.codec import derive_seed

    seed = derive_seed(0, "claim", 0)
    change(one, "runs", f"candidate = '{answer}' AND seed = {seed}", lambda data: data["metrics"].update(loss=0.0))
    named(one, "claims.json.claims[0].effect")


def test_an_old_run_with_a_real_model_passes_and_says_what_it_does_not_have(tmp_path):
    path = shutil.copytree(EXAMPLE, tmp_path / "run")
    found = verify(path)
    assert found.differences == () and any("claims.json" in note for note in found.notes)
    with sqlite3.connect(path / "run.sqlite3") as store:
        store.execute("UPDATE calls SET tokens_out = tokens_out + 1 WHERE number = 3")
    store.close()
    named(path, "call 3.tokens_out")


def test_what_is_no_run_is_said(tmp_path):
    done = in_process.run("verify", "nowhere", cwd=tmp_path)
    assert done.returncode == 2 and "nothing at" in done.stderr
    (tmp_path / "claims.json").write_text("{}")
    done = in_process.run("verify", "claims.json", cwd=tmp_path)
    assert done.returncode == 2 and "no records" in done.stderr


def test_a_run_that_goes_on_and_one_that_was_killed_are_checked_as_far_as_they_came(one):
    with sqlite3.connect(one / "run.sqlite3") as store:
        store.execute("""UPDATE meta SET value = '"running"' WHERE key = 'state'""")
        store.execute("UPDATE meta SET value = 'false' WHERE key = 'stated'")
        store.execute("DELETE FROM trials WHERE number > 12")
        store.execute("DELETE FROM meta WHERE key = 'claim'")
    store.close()
    (one / "claims.json").unlink()
    (one / "lock").write_text(f"process 999999999 on {os.uname().nodename}")
    found = verify(one)
    assert found.differences == () and found.checked > 100 and "has not ended (interrupted)" in found.notes[0]
    (one / "lock").write_text(f"process {os.getpid()} on {os.uname().nodename}")
    assert "goes on" in verify(one).notes[0]


def test_a_trial_that_is_gone_is_named(two):
    with sqlite3.connect(two / "run.sqlite3") as store:
        store.execute("DELETE FROM trials WHERE branch = 'root/0.only' AND number = 1")
    store.close()
    assert any("root/0.only" in each.where for each in verify(two).differences)


def test_claims_of_a_task_that_is_measured_otherwise_now_are_not_passed(one):
    with sqlite3.connect(one / "run.sqlite3") as store:
        store.execute("""UPDATE meta SET value = '"another"' WHERE key = 'harness'""")
        store.execute("UPDATE runs SET harness = 'another'")
    store.close()
    found = verify(one)
    assert [each.where for each in found.differences] == ["claims.json"]
    assert "put it back" in found.differences[0].given and any("has changed since" in note for note in found.notes)
