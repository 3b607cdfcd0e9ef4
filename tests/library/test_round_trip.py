"""A mechanism out of a run, into the library, into another run: with its evidence, and only as much as there is."""

import json
import shutil
import subprocess
import sys
import tomllib

import pytest
from mechanism_files import BAD, GOOD, refused

from bilevel import machine


def run(bilevel, *args):
    done = bilevel("run", *args)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run in which level 2 tried mechanisms against a control, and the last one that it kept; made once."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    command = [sys.executable, "-m", "bilevel"]
    options = ["--task", "sphere", "--researcher", "stuck", "--folder", str(folder)]
    subprocess.run([*command, "run", "d", *options], check=True, capture_output=True)
    status = subprocess.run([*command, "status", str(folder), "--json"], check=True, capture_output=True)
    return folder, json.loads(status.stdout)["in_force"][-1]


@pytest.fixture
def searched(finished, work):
    """That run as the folder `run`; the name of the mechanism."""
    folder, name = finished
    shutil.copytree(folder, work / "run")
    return name


def recipe(work, text, name="mine"):
    path = work / f"{name}.toml"
    path.write_text(f'name = "{name}"\ntitle = "a test"\ntask = "sphere"\n{text}')
    return path


@pytest.mark.slow
def test_a_mechanism_goes_out_of_a_run_into_the_library_and_into_another_run(
    bilevel, bilevel_json, searched, work, library
):
    done = bilevel("mechanisms", "export", "run", searched, "--library")
    assert done.returncode == 0 and "stored" in done.stdout and "after 1 fork" in done.stdout
    (row,) = [row for row in bilevel_json("mechanisms", "list") if row["qualified"] == f"user:{searched}"]
    evidence = row["evidence"]
    assert evidence["forks"] == 1 and evidence["family"] == "sphere" and not evidence["confirmed"]
    assert evidence["low"] < evidence["effect"] < evidence["high"]
    shown = bilevel("mechanisms", "show", f"user:{searched}").stdout
    assert f"machine {machine.facts()['fingerprint']}" in shown

    again = recipe(work, f'[inner]\ntrials = 12\nresearcher = "stuck"\nmechanisms = ["user:{searched}", "revert"]\n')
    run(bilevel, again, "--folder", "second")
    ledger = bilevel_json("show", "second", "--mechanism", searched)["ledger"]
    assert sum(hook["calls"] for hook in ledger.values()) > 0
    life = bilevel_json("mechanisms", "show", searched, "--run", "second")
    assert life["recipe"] == ["inner"] and [place[0] for place in life["in_force"]] == ["inner"]

    for file in library.iterdir():
        file.unlink()
    assert bilevel("resume", "second").returncode == 0  # the run keeps the sources that it began with
    assert bilevel_json("replay", "second")["trials"] == 13


@pytest.mark.slow
def test_the_library_researcher_proposes_a_mechanism_of_ones_own(bilevel, bilevel_json, work, library):
    library.mkdir(parents=True)
    (library / "mine.py").write_text(GOOD)
    outer = '[[outer]]\nlevel = "mechanisms"\nresearcher = "library:only:user:mine"\nstart = "fork"\ncycles = 3\n'
    run(bilevel, recipe(work, outer), "--folder", "run")
    life = bilevel_json("mechanisms", "show", "mine", "--run", "run")
    assert life["changes"][0]["change"] == "add" and len(life["forks"]) >= 1
    (library / "mine.py").unlink()
    assert bilevel_json("status", "run")["state"] == "finished"
    assert bilevel("resume", "run").returncode == 0  # the run keeps the source that it began with
    assert bilevel("replay", "run").returncode == 0


@pytest.mark.parametrize(
    ("name", "level"), [("user:bad", "inner"), ("bad", "inner"), ("./bad.py", "outer"), ("project:bad", "outer")]
)
def test_what_the_door_refuses_never_steers_a_run(bilevel, work, library, name, level):
    bad = BAD
    folder = {"user:bad": library, "./bad.py": work}.get(name, work / "mechanisms")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bad.py").write_text(bad)
    inner, outer = (
        f'[inner]\nmechanisms = ["{name}"]\n',
        f'[[outer]]\nlevel = "mechanisms"\nresearcher = "library:only:{name}"\n',
    )
    refused(bilevel("run", recipe(work, inner if level == "inner" else outer)), name, "refused at the door", "'os'")
    assert not (work / "runs").exists()


def test_the_life_of_a_mechanism_is_told_from_its_proposal_to_where_it_is_in_force(bilevel, bilevel_json, searched):
    life = bilevel_json("mechanisms", "show", searched, "--run", "run")
    trial = life["changes"][-1]
    assert trial["author"].startswith("library") and trial["kept"] and trial["change"] in ("add", "replace")
    (fork,) = [fork for fork in life["forks"] if fork["trial"] == trial["trial"]]
    status = bilevel_json("status", "run")
    (tried,) = [m for m in status["mechanisms"] if m["trial"] == trial["trial"]]
    assert fork["gain"] == tried["gain"] and fork["against"] == tried["control_best"]
    branches = [one for one in life["acted"] if "/" in one["branch"]]
    calls = {hook: sum(one["hooks"].get(hook, {}).get("calls", 0) for one in branches) for hook in life["ledger"]}
    assert {hook: count["calls"] for hook, count in life["ledger"].items()} == calls
    assert sum(calls.values()) > 0
    assert life["in_force"] == [["inner", trial["source"]]] and trial["source"] in life["sources"]
    assert life["climbs"] or not life["ladder"]
    text = bilevel("mechanisms", "show", searched, "--run", "run").stdout
    for words in (
        "proposed",
        "the ladder",
        "decisive",
        "gain against its control",
        "one fork is never proof",
        "class ",
    ):
        assert words in text


def test_each_rung_that_was_climbed_is_told_with_its_outcome_and_cost(bilevel, bilevel_json, searched):
    life = bilevel_json("mechanisms", "show", searched, "--run", "run")
    rungs = [climbed["climb"]["rung"] for climbed in life["climbs"]]
    assert rungs[0] == "door" and "trial" in rungs
    assert all(climbed["climb"]["reason"] and climbed["climb"]["seconds"] >= 0 for climbed in life["climbs"])
    text = bilevel("mechanisms", "show", searched, "--run", "run").stdout
    assert all(rung in text for rung in rungs)


@pytest.mark.slow
def test_evidence_from_another_run_is_added_and_that_of_the_same_forks_is_not_counted_twice(
    bilevel, bilevel_json, work, library
):
    library.mkdir(parents=True)
    (library / "mine.py").write_text(GOOD)
    outer = '[[outer]]\nlevel = "mechanisms"\nresearcher = "library:only:user:mine"\nstart = "fork"\ncycles = 2\n'
    path = recipe(work, '[inner]\nresearcher = "stuck"\n' + outer)
    for folder, seed in (("one", 1), ("same", 1), ("two", 2)):
        run(bilevel, path, "--seed", seed, "--folder", folder)
    done = [bilevel_json("mechanisms", "export", folder, "mine")["done"] for folder in ("one", "one", "same", "two")]
    assert done[:2] == ["stored", "there already"] and done[3] == "evidence added"
    record = tomllib.loads((work / "mechanisms" / "mine.toml").read_text())
    assert len(record["evidence"]) == 2 and len({e["arms"][0] for e in record["evidence"]}) == 2


def test_another_source_of_that_name_is_not_overwritten(bilevel, searched, work):
    path = work / "mechanisms" / f"{searched}.py"
    path.parent.mkdir()
    path.write_text(GOOD)
    refused(bilevel("mechanisms", "export", "run", searched), "another source", "--force")
    assert path.read_text() == GOOD and not path.with_suffix(".toml").exists()
    assert bilevel("mechanisms", "export", "run", searched, "--force").returncode == 0
    assert path.read_text() != GOOD


def test_a_source_that_changed_since_it_was_measured_is_credited_nothing(bilevel, bilevel_json, searched, work):
    assert bilevel("mechanisms", "export", "run", searched, "--to", "mechanisms/rule.py").returncode == 0
    path = work / "mechanisms" / "rule.py"
    assert bilevel_json("mechanisms", "show", "rule")["evidence"]
    path.write_text(path.read_text() + "\n# one more line\n")
    shown = bilevel_json("mechanisms", "show", "rule")
    assert shown["changed"] and shown["evidence"] == [] and shown["standing"] == "changed since it was measured"
    assert "changed since it was measured" in bilevel("mechanisms", "list").stdout


def test_evidence_is_shown_for_the_family_that_is_asked_for(bilevel, bilevel_json, searched):
    assert bilevel("mechanisms", "export", "run", searched, "--to", "mechanisms/rule.py").returncode == 0
    rows = {row["name"]: row for row in bilevel_json("mechanisms", "list", "--family", "sphere")}
    assert rows["rule"]["evidence"]["family"] == "sphere"
    rows = {row["name"]: row for row in bilevel_json("mechanisms", "list", "--family", "gpt")}
    assert rows["rule"]["evidence"] is None and rows["rule"]["standing"] == "not measured on gpt"


def test_a_mechanism_without_a_control_is_exported_as_not_measured(bilevel, work):
    run(bilevel, "static", "--task", "sphere", "--trials", "5", "--folder", "run")
    done = bilevel("mechanisms", "export", "run", "tabu", "--to", "rule.py")
    assert done.returncode == 0 and "not measured" in done.stdout
    assert (
        "evidence" not in tomllib.loads((work / "rule.toml").read_text())
        or not tomllib.loads((work / "rule.toml").read_text())["evidence"]
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("export", "run", "hope"), ("'hope'", "it has")),
        (("export", "nowhere", "tabu"), ("nowhere",)),
        (("export", "run", "NAME", "--to", "a.py", "--library"), ("not both",)),
        (("export", "run", "NAME", "--to", "a.txt"), ("a.txt", ".py")),
        (("export", "run", "NAME", "--to", "no name.py"), ("no name.py", "letter")),
        (("export", "run", "NAME", "--trial", "99"), ("99",)),
        (("show", "hope", "--run", "run"), ("'hope'", "it has")),
    ],
)
def test_what_cannot_be_taken_out_is_explained(bilevel, searched, args, words):
    refused(bilevel("mechanisms", *(searched if arg == "NAME" else arg for arg in args)), *words)
