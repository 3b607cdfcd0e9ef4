"""A comparison is verified: its plan, its runs and its reports; what was changed is named where it stands."""

import json
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import in_process

from bilevel.verifying.verify import verify


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    options = ("--task", "sphere:noise=0.02", "--replicates", 2, "--budget", 6, "--folder", "it")
    done = in_process.run("compare", "--arms", "a,static,d", *options, cwd=root)
    assert done.returncode == 0, done.stderr
    return root / "it"


@pytest.fixture
def it(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "it"))


def places(path):
    return [each.where for each in verify(path).differences]


@pytest.mark.slow
def test_an_honest_comparison_passes_and_so_does_each_of_its_files(it):
    found = verify(it)
    assert found.differences == () and found.checked > 500
    for name in ("result.json", "report.md", "report.html", "claims.json"):
        assert verify(it / name).differences == ()
    done = in_process.run("verify", it, cwd=it)
    assert done.returncode == 0 and "each is what the records give" in done.stdout


def test_the_claims_say_what_each_difference_rests_on(it):
    claims = json.loads((it / "claims.json").read_text())["claims"]
    result = json.loads((it / "result.json").read_text())
    difference = next(claim for claim in claims if claim["subject"] == "d")
    arm = next(arm for arm in result["arms"] if arm["name"] == "d")
    assert (difference["effect"], difference["p"]) == (
        arm["against"]["difference"]["value"],
        arm["against"]["corrected"],
    )
    assert difference["control"].startswith("a,") and difference["tries"]["pairs"] == 2
    assert len(difference["rests_on"]["runs"]) == 4 and all(
        (it / run).is_dir() for run in difference["rests_on"]["runs"]
    )
    level_two = next(claim for claim in claims if claim["kind"] == "level 2")
    assert level_two["status"] == "undecided" and "restart (not in this comparison)" in level_two["control"]


@pytest.mark.slow
def test_each_number_of_the_report_is_checked(it):
    path = it / "report.md"
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if line.startswith("| static |"))
    lines[number] = re.sub(r"\d(?=\D*$)", lambda found: str((int(found[0]) + 1) % 10), lines[number], count=1)
    path.write_text("\n".join(lines) + "\n")
    assert places(it) == places(path) == [f"report.md, line {number + 1}"]
    done = in_process.run("verify", it, cwd=it)
    assert done.returncode == 1 and f"report.md, line {number + 1}" in done.stdout


@pytest.mark.slow
def test_a_number_of_the_result_or_the_claims_is_named(it):
    for name, edit in (
        ("result.json", lambda data: data["arms"][1]["mechanisms"][0].update(calls=1)),
        ("claims.json", lambda data: data["claims"][0].update(p=0.01)),
    ):
        honest = (it / name).read_text()
        data = json.loads(honest)
        edit(data)
        (it / name).write_text(json.dumps(data))
        assert [where.split(".json")[0] for where in places(it)] == [name.removesuffix(".json")]
        (it / name).write_text(honest)


def test_a_key_of_the_plan_is_named(it):
    plan = json.loads((it / "plan.json").read_text())
    for key, edit in (
        ("plan.json.arms.static.inner.calibration", lambda: plan["arms"]["static"]["inner"].update(calibration=4)),
        ("result.json.budget", lambda: plan.update(budget=60)),
    ):
        edit()
        (it / "plan.json").write_text(json.dumps(plan))
        found = places(it)
        assert "started.json.plan" in found and any(where.startswith(key) for where in found), found


@pytest.mark.slow
def test_a_run_that_is_gone_and_one_that_was_changed_are_named(it):
    run = it / "replicate-01" / "static"
    with sqlite3.connect(run / "run.sqlite3") as store:
        (text,) = store.execute("SELECT record FROM trials WHERE number = 2").fetchone()
        data = json.loads(text)
        data["runs"][0]["metrics"]["loss"] = 0.0
        store.execute("UPDATE trials SET record = ? WHERE number = 2", (json.dumps(data),))
    store.close()
    assert any(where.startswith("replicate-01/static: trial root#2 run") for where in places(it))
    shutil.rmtree(run)
    found = verify(it)
    assert any(each.where == "replicate-01/static" and "not there" in each.given for each in found.differences)
