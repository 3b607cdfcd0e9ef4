"""Runs whose model is behind HTTP: what is asked on the side is shown, paid for, resumed and replayed."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from researcher_server import values
from runs import fingerprints, model_of
from wires import TOKENS_IN, TOKENS_OUT

from bilevel.shadow import aside_of

pytestmark = pytest.mark.slow

EACH = TOKENS_IN + TOKENS_OUT
ADVISES = '''"""Point at one parameter."""

from bilevel.mechanism import Mechanism


class Points(Mechanism):
    domain = "signposts"

    def advise(self, view, briefing):
        return briefing.with_block("points", "POINTED: change x1.")
'''


def one_level(trials=5, shadow=1.0, **models):
    Path("points.py").write_text(ADVISES)
    lines = [
        'name = "mine"\ntitle = "mine"\n[inner]\nresearcher = "llm"\nlessons = false\nmechanisms = ["points.py"]',
        f"trials = {trials}\nshadow = {shadow}",
    ]
    return _written(lines, models)


def two_levels(**models):
    lines = [
        'name = "mine"\ntitle = "mine"\n[inner]\nresearcher = "llm"\nlessons = false',
        '[[outer]]\nlevel = "mechanisms"\nresearcher = "llm"\nstart = "fork"\ntrials = 4\ncycles = 2\nrepairs = 0',
    ]
    return _written(lines, models)


def _written(lines, models):
    given = {"default": model_of("compatible"), "backoff": 0.01, "price_in": 1000.0, "price_out": 1000.0, **models}
    table = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    Path("mine.toml").write_text("\n".join([*lines, f"[models]\n{table}\n"]))
    return ("run", "mine.toml", "--task", "sphere", "--folder", "run")


def pointed(prompt):
    """A draft that does as the advice says: another value in each trial."""
    step = int(re.search(r"It is trial #(\d+)", prompt)[1])
    return values({"x1" if "POINTED" in prompt else "x0": 0.1 + step / 50})


class Moody:
    """Answers otherwise whenever it is asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, prompt):
        self.asked += 1
        return values({"x0": 0.1 + self.asked / 100})


MECHANISM = {"generate": f"```python\n{ADVISES}```"}


@pytest.fixture
def ran(serve, bilevel):
    """Run a recipe; returns its server and what was printed."""

    def go(args, says):
        server = serve(says=says)
        done = bilevel(*args)
        assert done.code == 0, done.err
        return server, done

    return go


def test_the_summary_says_how_often_drafts_differed_beside_the_noise_and_what_it_cost(ran, bilevel, bilevel_json):
    server, done = ran(one_level(), {"draft": pointed})
    assert len(server.roles) == 15
    line = "advice of points: drafts differed in 5 of 5 asks without it (other parameters 5, 0."
    rest = f"asking twice with the same text differed in 0 of 5; it matters (p = 0.004); 10 calls, {10 * EACH:,} tokens"
    for told in (done.out, bilevel("show", "run", "--mechanism", "points").out, bilevel("status", "run").out):
        assert line in told and rest in told
    total = (
        f"asked on the side to see whether advice matters: 10 calls, {10 * EACH:,} tokens, {EACH / 100:.4f} US dollars"
    )
    assert total in done.out
    found = bilevel_json("status", "run")
    cost = {"calls": 10, "tokens": 10 * EACH, "money": pytest.approx(EACH / 100), "unpriced": 0}
    assert found["asked_aside"] == cost == found["advice"]["points"]["cost"]
    advice = found["advice"]["points"]
    assert (advice["without"]["asks"], advice["without"]["differed"], advice["live"]) == (5, 5, True)
    assert advice["without"]["how"] == {"other parameters": 5} and advice["again"]["differed"] == 0
    assert bilevel_json("show", "run", "--mechanism", "points")["advice"] == advice
    assert found["costs"][0]["calls"] == 15 and found["costs"][0]["tokens"] == 15 * EACH
    assert found["static"]["points"]["advise"]["decisive"] == 5


def test_a_model_of_another_mood_each_time_shows_nothing_about_advice(ran, bilevel_json):
    _, done = ran(one_level(), {"draft": Moody()})
    assert "drafts differed in 5 of 5 asks without it (other values 5" in done.out
    assert "with the same text differed in 5 of 5; not shown to matter yet (p = 1)" in done.out
    assert not bilevel_json("status", "run")["advice"]["points"]["live"]


def test_the_list_of_calls_and_a_trial_tell_what_was_asked_on_the_side(ran, bilevel, bilevel_json):
    ran(one_level(trials=2), {"draft": pointed})
    asked = [call["purpose"] for call in bilevel_json("show", "run", "--calls")]
    assert asked == ["propose", "propose/without points", "propose/again"] * 2
    assert "propose/without points" in bilevel("show", "run", "--calls").out
    shown = bilevel("show", "run", "--trial", "1").out
    assert (
        "asked without the advice of points: other parameters" in shown
        and "asked again with the same text: same" in shown
    )
    shadows = bilevel_json("show", "run", "--trial", "1")["shadows"]
    assert [(s["mechanism"], s["kind"], s["differs"]) for s in shadows] == [
        ("points", "without", True), ("", "again", False)
    ]  # fmt: skip


def test_where_nothing_was_asked_on_the_side_nothing_is_said_of_it(ran, bilevel_json):
    server, done = ran(one_level(shadow=0.0), {"draft": pointed})
    assert len(server.roles) == 5 and "advice of" not in done.out and "on the side" not in done.out
    found = bilevel_json("status", "run")
    assert found["advice"] == {} and found["asked_aside"]["calls"] == 0


def test_an_answer_that_cannot_be_used_on_the_side_leaves_the_search_as_it_is(ran, bilevel_json):
    ran(
        one_level(reasks=0), {"draft": lambda prompt: pointed(prompt) if "POINTED" in prompt else "I would rather not."}
    )
    beside = bilevel_json("show", "run")
    assert bilevel_json("status", "run")["advice"]["points"]["without"]["failed"] == 5
    Path("run").rename("beside")
    ran(one_level(shadow=0.0), {"draft": pointed})
    assert bilevel_json("show", "run") == beside


def test_in_a_fork_the_mechanism_on_trial_is_measured_without_being_asked_to(ran, bilevel, bilevel_json):
    server, done = ran(two_levels(), {**MECHANISM, "draft": pointed})
    found = bilevel_json("status", "run")
    mechanism = found["mechanisms"][0]
    assert mechanism["ledger"]["advise"] == {"calls": 4, "touched": 4, "decisive": 4, "faults": 0}
    advice = mechanism["advice"]
    assert (advice["without"]["differed"], advice["again"]["differed"], advice["live"]) == (4, 0, True)
    assert advice["cost"]["calls"] == found["asked_aside"]["calls"] == 8
    assert "drafts differed in 4 of 4 asks without it" in done.out and "not shown yet" not in mechanism["reason"]
    calls = bilevel_json("show", "run", "--calls")
    aside = [call for call in calls if aside_of(call["purpose"])]
    assert {call["branch"] for call in aside} == {"root/1.challenger"} and {call["level"] for call in aside} == {
        "inner"
    }
    assert len(calls) == len(server.roles)


def test_in_a_fork_with_a_moody_model_the_gain_is_not_credited_to_advice(ran, bilevel_json):
    _, done = ran(two_levels(), {**MECHANISM, "draft": Moody()})
    mechanism = bilevel_json("status", "run")["mechanisms"][0]
    assert not mechanism["kept"] and mechanism["reason"].startswith("not shown yet to matter")
    assert "not shown to matter yet" in done.out


@pytest.mark.parametrize("number", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_run_killed_while_it_asks_on_the_side_asks_only_that_again(serve, bilevel, process, number):
    server = serve(says={"draft": pointed}, faults={number: {"hang": True, "body": ""}})
    running = process(*one_level(trials=2))
    assert server.waiting.wait(60), running.communicate()
    running.kill()
    running.communicate()
    assert bilevel("resume", "run").code == 0
    asked = Counter(server.bodies)
    assert len(server.bodies) == 7 and server.bodies[number - 1] == server.bodies[number]
    resumed = fingerprints("run")
    Path("run").rename("killed")
    serve(says={"draft": pointed})
    assert bilevel(*one_level(trials=2)).code == 0
    assert fingerprints("run") == resumed and asked


@pytest.mark.parametrize("recipe", [one_level, two_levels])
def test_a_replay_asks_no_model_and_gives_the_shadows_back(ran, bilevel, recipe):
    server, _ = ran(recipe(), {**MECHANISM, "draft": pointed})
    asked = len(server.bodies)
    server.close()
    done = bilevel("replay", "run")
    assert done.code == 0, done.err
    assert "byte for byte" in done.out and len(server.bodies) == asked


def test_a_limit_on_tokens_counts_what_is_asked_on_the_side(serve, bilevel, bilevel_json):
    server = serve(says={"draft": pointed})
    done = bilevel(*one_level(), "--max-tokens", 2 * EACH)
    assert done.code == 0 and len(server.roles) == 2
    assert bilevel_json("status", "run")["state"] == "limit"
    assert bilevel("resume", "run", "--max-tokens", 10**6).code == 0
    assert len(server.roles) == 15
    assert bilevel("replay", "run").code == 0
