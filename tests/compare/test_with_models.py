"""Arms that ask a language model, against a server on loopback: budgets in tokens, and what calls cost."""

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / part) for part in ("llm", "models")]

from researcher_server import ResearcherServer

PRICES = 'name = "{name}"\ntitle = "t"\n[models]\nprice_in = 100.0\nprice_out = 100.0\nbackoff = 0.01\n{more}'


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Two arms that ask, and the option that names the model."""
    server = ResearcherServer("compatible")
    monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "one.toml").write_text(PRICES.format(name="one", more=""))
    (tmp_path / "two.toml").write_text(PRICES.format(name="two", more="[inner.settings]\nstrategy = 'explore'\n"))
    yield ("--model", "compatible:stub", "--replicates", 1)
    server.close()


@pytest.mark.slow
def test_equal_tokens_end_each_arm_where_they_are_spent(compare, asked):
    done = compare(*asked, "--equal", "tokens", "--budget", 800, "--json", arms="one.toml,two.toml")
    assert done.code == 0, done.err
    for arm in done.json["arms"]:
        spent = arm["average"]
        assert arm["ended_by_limit"] == 1 and 800 <= spent["tokens"] < 1_600
        assert spent["money"] == pytest.approx(spent["tokens"] * 1e-4)
        assert arm["curve"][-1] >= 0 and arm["area"]["value"] is not None


def test_an_arm_that_asks_no_model_needs_another_end_where_tokens_are_equal(compare, asked):
    arms, options = "one.toml,random", (*asked, "--equal", "tokens", "--budget", 6_000)
    done = compare(*options, arms=arms)
    assert done.code == 2 and "asks no model" in done.err
    result = compare(*options, "--most-trials", 5, "--json", arms=arms).json
    asks, free = (arm["average"] for arm in result["arms"])
    assert asks["tokens"] > 0 == free["tokens"] and free["measurements"] == 5


def test_a_model_that_cannot_be_asked_is_said_before_anything_is_made(compare, asked, tmp_path):
    done = compare("--model", "nobody:stub", arms="one.toml,random")
    assert done.code == 2 and "no provider 'nobody'" in done.err and not (tmp_path / "it").exists()


def test_a_plan_says_what_the_calls_may_cost(compare, asked):
    planned = compare(*asked, "--plan", "--json", arms="one.toml,random").json
    asks, free = planned["arms"]
    assert asks["calls"] >= 8 and asks["tokens"] > 0 and asks["money"] == pytest.approx(asks["tokens"] * 1e-4)
    assert free["calls"] == 0 and planned["money"] == asks["money"]


def test_a_plan_says_no_more_than_the_budget_pays_for(compare, asked):
    options = (*asked, "--plan", "--json", "--most-trials", 50, "--equal")
    whole = compare(*options, "money", "--budget", 1_000, arms="one.toml,random").json["arms"][0]
    for equal, budget in (("tokens", 800), ("money", 0.08)):
        asks, free = compare(*options, equal, "--budget", budget, arms="one.toml,random").json["arms"]
        assert asks["tokens"] == 800 and asks["money"] == pytest.approx(0.08) and free["calls"] == 0
        assert 1 <= asks["calls"] < whole["calls"] and whole["tokens"] > 800
