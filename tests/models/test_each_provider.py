"""A model of each first-class provider researches a run, through the provider's own wire format."""

import pytest

pytest.importorskip("pydantic_ai")

from runs import model_of
from wires import MODELS, TOKENS_IN, TOKENS_OUT

STYLES = ("openai", "anthropic", "google", "deepseek", "glm", "minimax", "compatible")


@pytest.mark.parametrize("style", STYLES)
def test_a_model_of_each_provider_researches_a_search(serve, bilevel, bilevel_json, style):
    server = serve(style)
    done = bilevel("run", "a", "--task", "sphere", "--model", model_of(style), "--trials", "3", "--folder", "run")
    assert done.code == 0, done.err
    assert server.roles == ["draft"] * len(server.roles) and len(server.roles) >= 3
    status = bilevel_json("status", "run")
    assert (status["state"], status["researcher"], status["charged"]) == ("finished", "llm", 6)
    calls = bilevel_json("show", "run", "--calls")
    assert {(call["model"].partition(":")[2], call["tokens_in"], call["tokens_out"]) for call in calls} == {
        (MODELS[style], TOKENS_IN, TOKENS_OUT)
    }
    trials = bilevel_json("show", "run")
    assert [trial["author"] for trial in trials] == ["baseline", "llm", "llm", "llm"]
    assert all(trial["changes"] for trial in trials[1:])


@pytest.mark.slow
@pytest.mark.parametrize("style", ("anthropic",))
def test_one_option_puts_a_model_at_all_three_levels_and_its_mechanism_runs(serve, bilevel, bilevel_json, style):
    server = serve(style)
    done = bilevel(
        "run", "c", "--task", "sphere", "--model", model_of(style), "--inner-budget", "3", "--outer-cycles", "3",
        "--folder", "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert {"draft", "lessons", "settings", "explore", "critique", "specify", "generate"} <= set(server.roles)
    assert "other" not in server.roles
    summary = bilevel_json("status", "run")
    assert {cost["level"]: cost["calls"] > 0 for cost in summary["costs"]} == dict.fromkeys(
        ("inner", "settings", "mechanisms"), True
    )
    first = summary["mechanisms"][0]
    assert first["author"] == "llm session" and first["name"].startswith("wander")
    assert first["ledger"]["select"]["calls"] > 0 and first["ledger"]["select"]["decisive"] > 0
    assert first["calls"] >= 4 and first["pairs"] == 1
    assert f"level 2, trial 1: add {first['name']}" in done.out and "decisive" in done.out
    levels = {(call["level"], call["purpose"].split("/")[0]) for call in bilevel_json("show", "run", "--calls")}
    assert {("inner", "propose"), ("inner", "lessons"), ("settings", "settings"), ("mechanisms", "session")} <= levels
