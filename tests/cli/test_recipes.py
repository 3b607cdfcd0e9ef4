"""Every shipped recipe runs end to end through the command line and says what it came to."""

import pytest

from bilevel.recipe import shipped

NESTED = {name for name, recipe in shipped().items() if recipe.outer}
SLOW = {"paper-c", "recursive", "default"}  # that of `default` is in the test of when it forks, too
WITH_PARAMETERS = sorted(name for name, recipe in shipped().items() if recipe.task not in ("article", "page"))


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WITH_PARAMETERS]
)
def test_every_recipe_for_parameters_runs_on_sphere(bilevel_json, recipe):
    fewer = ["--trials", "60"] if recipe == "recursive" else []  # the whole of it takes minutes: the slow test below
    summary = bilevel_json("run", recipe, "--task", "sphere", "--folder", "run", "--seed", "1", *fewer)
    assert summary["state"] == "finished"
    assert summary["best"] <= summary["baseline"]
    assert summary["repetition"]["trials"] >= (10 if recipe in NESTED else 20)  # a refused mechanism costs none
    assert summary["noise"]["n"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("recipe", WITH_PARAMETERS)
def test_every_recipe_for_parameters_runs_on_the_table(bilevel_json, recipe):
    summary = bilevel_json("run", recipe, "--task", "gpt-table", "--folder", "run")
    assert summary["best"] <= summary["baseline"]
    assert "surrogate" in summary["task"] + summary["objective"] + summary["unit"]


def test_the_default_recipe_forks_only_once_it_is_stuck(bilevel_json, tmp_path):
    begun = bilevel_json(
        "run", "default", "--task", "sphere", "--folder", "run", "--researcher", "stuck", "--outer-cycles", "2"
    )
    assert any(mechanism["pairs"] for mechanism in begun["mechanisms"])
    early = bilevel_json("run", "default", "--task", "sphere", "--folder", "early", "--trials", "10")
    assert early["mechanisms"] == []


@pytest.mark.parametrize(("share", "forks"), [(0.0, True), (0.95, False)])
def test_a_recipe_says_for_which_share_of_its_trials_a_search_must_have_been_stuck(
    bilevel_json, tmp_path, share, forks
):
    level = "level = 'mechanisms'\nresearcher = 'library'\nstart = 'fork'\ntrials = 2\ncycles = 9\nstuck_after = 3"
    text = f"name = 'waits'\ntitle = 'waits'\n[inner]\nresearcher = 'random'\n[[outer]]\n{level}\nstuck_share = {share}"
    (tmp_path / "waits.toml").write_text(text)
    done = bilevel_json("run", "waits.toml", "--task", "sphere", "--folder", "run")
    assert any(mechanism["pairs"] for mechanism in done["mechanisms"]) is forks


@pytest.mark.parametrize("recipe", ["c", "d", pytest.param("shuffle", marks=pytest.mark.slow), "default"])
def test_every_mechanism_has_a_ledger_and_a_control(bilevel_json, recipe):
    cycles = ["--outer-cycles", "4"] if recipe == "default" else []  # later ones leave out what was kept
    summary = bilevel_json("run", recipe, "--task", "sphere", "--folder", "run", "--researcher", "stuck", *cycles)
    tried = [m for m in summary["mechanisms"] if m["pairs"]]
    assert tried
    for mechanism in tried:
        decisive = sum(count["decisive"] for count in mechanism["ledger"].values())
        assert mechanism["source"].count("class ") == 1
        assert mechanism["control_best"] is not None
        if decisive == 0:
            assert not mechanism["kept"]
            assert "inert" in mechanism["reason"]


def test_the_placebo_touches_nothing_and_is_never_kept(bilevel_json):
    summary = bilevel_json("run", "placebo", "--task", "sphere", "--folder", "run")
    for mechanism in summary["mechanisms"]:
        assert sum(count["calls"] for count in mechanism["ledger"].values()) > 0
        assert sum(count["touched"] for count in mechanism["ledger"].values()) == 0
        assert mechanism["gain"] == 0
        assert not mechanism["kept"]


def test_both_arms_of_a_fork_are_charged(bilevel_json):
    summary = bilevel_json(
        "run", "d", "--task", "sphere", "--folder", "run", "--inner-budget", "4", "--outer-cycles", "3"
    )
    assert summary["repetition"]["trials"] == 4 + 2 * 4 + 2 * 4


def test_options_override_a_recipe(bilevel_json):
    summary = bilevel_json(
        "run", "a", "--task", "sphere:noise=0", "--trials", "7", "--researcher", "random", "--seed", "9"
    )
    assert summary["repetition"]["trials"] == 7
    assert summary["researcher"] == "random"
    assert summary["seed"] == 9
    assert summary["noise"]["sd"] == 0
    assert summary["folder"] == "runs/a-sphere-1"


@pytest.mark.slow
def test_mechanisms_have_ledgers_also_where_their_level_is_not_the_outermost(bilevel_json, tmp_path):
    inner = "[[outer]]\nlevel = 'mechanisms'\nresearcher = 'library'\ntrials = 5\n"
    upper = "[[outer]]\nlevel = 'settings'\nresearcher = 'settings_rules'\ntrials = 2\ncycles = 3\nstart = 'fork'\n"
    (tmp_path / "mine.toml").write_text(f"name = 'mine'\ntitle = 'a test'\n{inner}{upper}")
    summary = bilevel_json("run", "mine.toml", "--folder", "run")
    assert summary["mechanisms"]
    assert all(mechanism["source"] for mechanism in summary["mechanisms"])
    assert any(mechanism["ledger"] for mechanism in summary["mechanisms"])
    bilevel_json("show", "run", "--mechanism", summary["mechanisms"][0]["name"])


def test_the_default_recipe_searches_by_bayesian_optimisation_until_a_model_is_named():
    from bilevel.overriding import override
    from bilevel.recipe import find, resolve

    default = find("default")
    assert default.inner.researcher == "bayesian" and find("a").inner.researcher == "coordinate"
    assert override(default, models=["openai:any"]).inner.researcher == "llm"
    assert override(default, models=["openai:any"], researcher="random").inner.researcher == "random"
    assert override(find("a"), models=["openai:any"], researcher="llm").inner.researcher == "llm"
    old = default.model_dump() | {"inner": {**default.inner.model_dump(), "researcher": "coordinate"}}
    assert resolve(old).inner.researcher == "coordinate"  # a run folder goes on with what it began with
