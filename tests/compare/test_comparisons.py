"""A comparison from its plan to its result: equal budgets, shared seeds, real runs, the same numbers each time."""

import json
from pathlib import Path

import pytest

from bilevel.store.folder import RunFolder


def without_seconds(result):
    for arm in result["arms"]:
        arm["average"]["seconds"] = None
    return result


def run_folders(root):
    return sorted(path.parent for path in Path(root).glob("replicate-*/*/run.sqlite3"))


def config(folder):
    opened = RunFolder.read(folder)
    try:
        return opened.config
    finally:
        opened.close()


def arm(result, name):
    return next(arm for arm in result["arms"] if arm["name"] == name)


def test_every_arm_gets_every_replicate_and_its_result_is_written_and_printed(compare, tmp_path):
    done = compare("--json")
    assert done.code == 0, done.err
    result = done.json
    assert [one["name"] for one in result["arms"]] == ["a", "static", "random"]
    assert all(one["runs"] == 3 and set(one["gains"]) == {"1", "2", "3"} for one in result["arms"])
    assert result == json.loads((tmp_path / "it" / "result.json").read_text())
    report = (tmp_path / "it" / "report.md").read_text()
    printed = compare().out
    for title in ("mprovement of loss", "gainst a, paired", "ny time", "ow repetitive", "echanisms"):
        assert title in report and title in printed
    assert result["plan"] in printed and result["plan"] in report


def test_runs_of_a_comparison_make_no_claims_of_their_own_since_it_measures_on_fresh_seeds_itself(compare, tmp_path):
    assert compare("--replicates", 1, "--budget", 3, arms="a,random").code == 0
    plan = json.loads((tmp_path / "it" / "plan.json").read_text())
    assert [arm["claim"]["on"] for arm in plan["arms"].values()] == [False, False]
    for folder in run_folders(tmp_path / "it"):
        opened = RunFolder.read(folder)
        assert opened.meta("claim") is None and opened.meta("state") == "finished"
        opened.close()


@pytest.mark.slow
def test_each_run_is_a_run_folder_that_the_other_commands_open(compare, bilevel, tmp_path):
    assert compare().code == 0
    assert len(run_folders(tmp_path / "it")) == 9
    run = tmp_path / "it" / "replicate-02" / "static"
    assert "static on sphere" in bilevel("status", run).out
    assert bilevel("show", run, "--trial", 3).code == 0
    assert "byte for byte" in bilevel("replay", run).out
    assert bilevel("resume", run).code == 0
    assert compare().code == 0


@pytest.mark.slow
def test_the_arms_of_a_replicate_share_seed_and_baseline_and_replicates_do_not(compare, bilevel, tmp_path):
    assert compare().code == 0
    seeds, baselines = {}, {}
    for folder in run_folders(tmp_path / "it"):
        seeds.setdefault(folder.parent.name, set()).add(config(folder)["recipe"]["seed"])
        runs = bilevel("show", folder, "--trial", 0, "--json").json["runs"]
        scores = tuple((run["seed"], run["metrics"]["loss"]) for run in runs)
        baselines.setdefault(folder.parent.name, set()).add(scores)
    assert all(len(found) == 1 for found in (*seeds.values(), *baselines.values()))
    assert len(set.union(*seeds.values())) == len(set.union(*baselines.values())) == 3


def test_the_baseline_of_a_replicate_is_measured_once_even_where_measuring_is_not_reproducible(bilevel, tmp_path):
    (tmp_path / "drifting.py").write_text(
        "import random\nfrom bilevel.objective import Objective\nfrom bilevel.space import Candidate, Float, Space\n"
        "from bilevel.tasks.function import FunctionTask\n"
        "def loss(params, seed):\n    return params['x'] + random.SystemRandom().random()\n"
        "space, start = Space({'x': Float(0.0, 1.0)}), Candidate({'x': 0.5})\n"
        "task = FunctionTask('drifting', loss, space, start, Objective('loss'), 'Make x small.')\n"
    )
    options = ("--task", "python:drifting:task", "--replicates", 2, "--budget", 4, "--folder", "it")
    done = bilevel("compare", "--arms", "a,random,restart", *options)
    assert done.code == 0, done.err
    for replicate in ("replicate-01", "replicate-02"):
        found = {
            json.dumps([run["metrics"] for run in bilevel("show", folder, "--trial", 0, "--json").json["runs"]])
            for folder in run_folders(tmp_path / "it")
            if folder.parent.name == replicate
        }
        assert len(found) == 1


@pytest.mark.slow
def test_the_arms_begin_in_another_order_in_each_replicate(compare):
    lines = [line for line in compare("--replicates", 6).out.splitlines() if ", replicate " in line]
    order = [line.split("  ")[1].split(":")[0].split(", replicate ") for line in lines]
    assert [int(number) for _, number in order] == [n for n in range(1, 7) for _ in range(3)]
    assert len({tuple(arm for arm, _ in order[n : n + 3]) for n in range(0, 18, 3)}) > 1


@pytest.mark.slow
def test_the_same_plan_gives_the_same_numbers_also_with_workers(compare):
    one = without_seconds(compare("--json", folder="one").json)
    assert one == without_seconds(compare("--json", folder="two").json)
    assert one == without_seconds(compare("--json", "--workers", 2, folder="three").json)
    assert one != without_seconds(compare("--json", "--seed", 1, folder="four").json)


@pytest.mark.slow
def test_nested_arms_pay_for_their_controls_and_nobody_gets_more_than_the_budget(compare):
    options = ("--inner-budget", 3, "--budget", 11, "--replicates", 2)
    result = compare(*options, "--json", arms="a,d,placebo,random").json
    spent = {one["name"]: one["average"] for one in result["arms"]}
    assert spent["a"]["measurements"] == spent["random"]["measurements"] == 11
    for arm in ("d", "placebo"):  # 3, then 3 in each arm of one fork; and what is repeated, within the budget
        assert 3 <= spent[arm]["measurements"] <= 11
    assert any(note.startswith("spent") or "d " in note for note in result["notes"])


@pytest.mark.slow
def test_what_is_refused_costs_no_measurement_at_any_level(compare):
    options = ("--inner-budget", 2, "--budget", 14, "--replicates", 1, "--researcher", "stuck", "--seed", 7, "--json")
    # without noise nothing is repeated but the first that leads, once
    found = compare(*options, arms="a,d", task="sphere:noise=0").json
    spent = {one["name"]: one["average"] for one in found["arms"]}
    assert all(one["trials"] > one["measurements"] for one in spent.values())
    assert spent["d"]["measurements"] > 14 - 4


@pytest.mark.slow
def test_level_2_is_credited_nothing_without_its_controls_in_the_same_comparison(compare):
    result = compare("--inner-budget", 2, "--replicates", 2, "--json", arms="a,d,restart,shuffle").json
    (claim,) = result["claims"]
    assert claim["arm"] == "d" and not claim["allowed"] and claim["absent"] == ["static"]
    assert "may not be said" in claim["text"] and "static is not in this comparison" in claim["text"]


@pytest.mark.slow
def test_arms_without_level_2_bring_no_claim(compare):
    done = compare()
    assert "nothing is said of mechanisms" in done.out
    assert compare("--json").json["claims"] == []


@pytest.mark.slow
def test_mechanisms_are_listed_with_their_ledgers(compare):
    result = compare("--budget", 20, "--researcher", "stuck", "--json").json
    assert arm(result, "a")["mechanisms"] == []
    found = {one["name"]: one for one in arm(result, "static")["mechanisms"]}
    assert set(found) >= {"tabu", "bandit"} and all(one["runs"] == 3 for one in found.values())
    assert any(one["decisive"] > 0 and one["decisive_in"] > 0 for one in found.values())


@pytest.mark.slow
def test_a_stuck_researcher_shows_as_repetitive_and_an_arm_with_its_own_researcher_keeps_it(compare):
    result = compare("--budget", 20, "--researcher", "stuck", "--json").json
    stuck, free = arm(result, "a")["average"], arm(result, "random")["average"]
    assert stuck["duplicates"] > 0.3 > free["duplicates"]
    assert stuck["streak"] > free["streak"]
    assert 1 <= free["discards"] <= 20


@pytest.mark.slow
def test_regret_is_given_where_the_optimum_is_known_and_absent_elsewhere(compare):
    known = compare("--json").json
    for one in known["arms"]:
        assert 0 < one["regret"]["value"] < 1.1
        gain, regret = one["mean"]["value"], one["regret"]["value"]
        assert (gain > 0.3) == (regret < 0.6)  # the baseline loses about 0.66
    unknown = compare("--json", task="gpt-table", folder="other").json
    assert all(one["regret"] is None for one in unknown["arms"])
    assert "regret" not in compare(task="gpt-table", folder="other").out


@pytest.mark.slow
def test_improvements_are_of_fresh_seeds_unless_the_task_is_deterministic(compare):
    noisy = compare("--json", task="sphere:noise=0.2", folder="noisy").json
    assert noisy["fresh"] == 3
    assert all(one["seen"]["value"] != one["mean"]["value"] for one in noisy["arms"])
    exact = compare("--json", task="sphere:noise=0", folder="exact").json
    assert exact["fresh"] == 0 and any("deterministic" in note for note in exact["notes"])
    assert all(one["seen"]["value"] == one["mean"]["value"] for one in exact["arms"])
    seen = compare("--fresh", 0, "--json", folder="seen").json
    assert seen["fresh"] == 0 and any("no fresh seeds" in note for note in seen["notes"])


@pytest.mark.slow
def test_the_curve_rises_to_the_best_seen_and_its_area_lies_below(compare):
    for one in compare("--json").json["arms"]:
        assert list(one["curve"]) == sorted(one["curve"]) and one["curve"][0] == 0
        assert 0 <= one["area"]["value"] <= one["curve"][-1]


@pytest.mark.slow
def test_too_few_replicates_are_said_to_prove_nothing(compare):
    notes = " ".join(compare("--json").json["notes"])
    assert "smallest p is 0.25" in notes
    assert "smallest p" not in " ".join(
        compare("--replicates", 7, "--budget", 1, "--json", folder="more").json["notes"]
    )


@pytest.mark.slow
def test_equal_seconds_end_runs_by_their_limit(compare):
    options = ("--equal", "seconds", "--budget", 0.4, "--replicates", 2, "--json")
    result = compare(*options, arms="a,random").json
    assert [one["ended_by_limit"] for one in result["arms"]] == [2, 2]
    assert all(0.3 < one["average"]["seconds"] < 5 for one in result["arms"])
    assert all(one["average"]["trials"] < 1000 for one in result["arms"])


@pytest.mark.slow
def test_a_plan_says_what_it_takes_and_from_what_and_makes_nothing(compare, tmp_path):
    done = compare("--plan")
    assert done.code == 0 and not (tmp_path / "it").exists()
    assert "9 runs" in done.out and "one measurement of the baseline, timed now" in done.out
    planned = compare("--plan", "--json").json
    assert planned["measurements"] == 9 * (8 + 3 + 2 * 3) and planned["tokens"] == 0
    assert "an idea takes up to 3 of them" in done.out and {one["each"] for one in planned["arms"]} == {3}
    result = compare("--json").json
    assert result["plan"] == planned["plan"]
    took = {one["name"]: round(one["average"]["measurements"]) for one in result["arms"]}
    assert {one["arm"]: one["trials"] for one in compare("--plan", "--json").json["arms"]} == took
    assert "finished runs of this comparison (a, static, random)" in compare("--plan").out


def test_a_plan_counts_repeats_of_the_keep_rule_in_nested_arms_too(compare):
    """A cycle that repeats measures more than its trials: at most what the budget has."""
    options = ("--plan", "--json", "--budget", 28)
    (d, _) = compare(*options, arms="d,a", folder="race").json["arms"]
    assert d["trials"] == 28
