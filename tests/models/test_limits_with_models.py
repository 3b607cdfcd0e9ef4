"""What a run may spend: it is told at half, ends cleanly, keeps what was paid for, and goes on with a higher limit."""

import re
import signal
from types import SimpleNamespace

import pytest

pytest.importorskip("pydantic_ai")

from runs import events, fingerprints, model_of
from wires import TOKENS_IN, TOKENS_OUT

from bilevel import lab

MODEL = model_of("compatible")
EACH = TOKENS_IN + TOKENS_OUT  # tokens of a call
A = ("--task", "sphere", "--model", MODEL, "--trials", "8")
C = ("--task", "sphere", "--model", MODEL, "--inner-budget", "3", "--outer-cycles", "3")


def warnings(folder="run"):
    return [re.match(r"(\d+)% of the limit", text)[1] for text in events(folder, "limit")]


def test_a_limit_on_tokens_is_told_at_half_and_at_four_fifths_and_ends_the_run_cleanly(serve, bilevel, bilevel_json):
    server = serve()
    done = bilevel("run", "a", *A, "--max-tokens", 5 * EACH, "--folder", "run")
    assert done.code == 0, done.err
    assert warnings() == ["60", "80", "100"]
    for text in events("run", "limit"):
        assert done.out.count(f"limit: {text}") == 1
    assert "Ended early: the limit of 90 tokens is reached" in done.out
    assert "`bilevel resume run --max-tokens N`" in done.out
    assert "a on sphere" in done.out and "baseline" in done.out  # the summary
    calls = bilevel_json("show", "run", "--calls")
    assert len(calls) == len(server.bodies) == 5
    status = bilevel_json("status", "run")
    assert status["state"] == "limit" and status["costs"][0]["tokens"] == 5 * EACH


def test_a_limit_that_is_passed_in_one_step_is_told_once(serve, bilevel):
    serve()
    assert bilevel("run", "a", *A, "--max-tokens", "1", "--folder", "run").code == 0
    assert warnings() == ["1800"]


def test_a_resume_with_the_same_limit_asks_nothing_and_one_with_a_higher_limit_goes_on(serve, bilevel, clean):
    server = serve()
    assert bilevel("run", "a", *A, "--max-tokens", 5 * EACH, "--folder", "run").code == 0
    again = bilevel("resume", "run")
    assert again.code == 0 and "Ended early" in again.out and len(server.bodies) == 5
    assert warnings() == ["60", "80", "100"]
    more = bilevel("resume", "run", "--max-tokens", 7 * EACH)
    assert more.code == 0 and "Ended early: the limit of 126 tokens" in more.out and len(server.bodies) == 7
    assert bilevel("resume", "run").code == 0 and len(server.bodies) == 7  # the higher limit stays in force
    assert bilevel("resume", "run", "--max-tokens", 1000 * EACH).code == 0
    assert len(server.bodies) == len(set(server.bodies))
    assert fingerprints("run") == clean("a", *A).fingerprints


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "workers"), [(1, "2"), (4, "1"), (6, "2"), (8, "1"), (10, "2"), (11, "1")])
def test_wherever_a_limit_falls_the_run_that_goes_on_is_the_one_without_it(serve, bilevel, clean, calls, workers):
    server = serve()
    args = ("c", *C, "--workers", workers)
    assert bilevel("run", *args, "--max-tokens", calls * EACH, "--folder", "run").code == 0
    assert len(server.bodies) == calls
    done = bilevel("resume", "run", "--max-tokens", 1000 * EACH)
    assert done.code == 0, done.err
    without = clean(*args)
    assert fingerprints("run") == without.fingerprints
    assert sorted(server.bodies) == sorted(without.bodies)


# ---- money ----


def test_a_limit_on_money_with_prices_of_ones_own(serve, bilevel, bilevel_json, recipe):
    server = serve()
    name = recipe("a", price_in=1000.0, price_out=2000.0)  # a call costs 0.025
    done = bilevel("run", name, *A, "--max-money", "0.1", "--folder", "run")
    assert done.code == 0, done.err
    assert len(server.bodies) == 4
    assert warnings() == ["50", "100"]
    assert "the limit of 0.1 US dollars is reached" in done.out and "--max-money N" in done.out
    status = bilevel_json("status", "run")
    assert status["state"] == "limit" and status["costs"][0]["money"] == pytest.approx(0.1)
    assert bilevel("resume", "run", "--max-money", "9").code == 0
    assert bilevel_json("status", "run")["state"] == "finished"


def test_a_limit_on_money_with_the_price_list_of_the_provider(serve, bilevel, bilevel_json):
    server = serve("openai")
    args = ("--task", "sphere", "--model", model_of("openai"), "--trials", "4", "--folder", "run")
    done = bilevel("run", "a", *args, "--max-money", "0.000005")
    assert done.code == 0, done.err
    assert "Ended early" in done.out and len(server.bodies) == 1
    assert bilevel_json("show", "run", "--calls")[0]["money"] > 0


@pytest.mark.parametrize("limit", [("--max-money", "1"), ("--gate", "money=1")])
@pytest.mark.parametrize("chain", [MODEL, f"{model_of('openai')},{MODEL}"])
def test_a_limit_on_money_is_refused_before_anything_is_asked_where_no_price_can_be_known(serve, bilevel, chain, limit):
    servers = serve("openai"), serve()
    done = bilevel("run", "a", *A[:2], "--model", chain, *limit, "--folder", "run")
    assert done.code == 2
    assert f"{MODEL!r} has no price list" in done.err and "models.price_in" in done.err
    assert not any(server.bodies for server in servers)
    assert bilevel("status", "run").code == 2  # no folder was made


def test_a_limit_on_money_ends_a_run_after_the_first_reply_whose_price_the_list_does_not_know(
    serve, bilevel, bilevel_json, recipe
):
    body = {"model": "gpt-of-the-future", "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "{}"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2,
        "total_tokens": 5}, "id": "1", "object": "chat.completion", "created": 1}  # fmt: skip
    server = serve("openai", faults={n: {"body": body} for n in range(1, 9)})
    args = ("--task", "sphere", "--model", "openai:gpt-of-the-future", "--folder", "run")
    done = bilevel("run", "a", *args, "--max-money", "1")
    assert done.code == 2
    assert "the price of 'openai:gpt-of-the-future' is not known" in done.err and "models.price_in" in done.err
    assert len(server.bodies) == 1 and len(bilevel_json("show", "run", "--calls")) == 1
    assert bilevel("resume", "run").code == 2 and len(server.bodies) == 1  # nothing more is spent


def test_a_resume_with_a_limit_on_money_needs_prices_too(serve, bilevel):
    server = serve()
    assert bilevel("run", "a", *A, "--max-tokens", 3 * EACH, "--folder", "run").code == 0
    done = bilevel("resume", "run", "--max-money", "1", "--max-tokens", "10000")
    assert done.code == 2 and "has no price list" in done.err and len(server.bodies) == 3
    done = bilevel("steer", "budget", "run", "--max-money", "1")
    assert done.code == 2 and "has no price list" in done.err
    done = bilevel("steer", "budget", "run", "--max-tokens", "10")
    assert done.code == 2 and "is less than the" in done.err
    assert bilevel("resume", "run", "--max-tokens", "10000").code == 0  # the limit was not taken in


# ---- time ----


@pytest.fixture
def clock(monkeypatch):
    """The lab's clock, moved by hand."""
    made = SimpleNamespace(now=0.0, monotonic=lambda: made.now, time=lambda: 1e9 + made.now)
    monkeypatch.setattr(lab, "time", made)
    return made


def test_a_limit_on_time_counts_what_models_take_and_earlier_sessions(serve, bilevel, clock, clean):
    def slow(prompt):
        clock.now += 1.0

    server = serve(says={"draft": slow})
    done = bilevel("run", "a", *A, "--max-seconds", "5", "--folder", "run")
    assert done.code == 0, done.err
    assert warnings() == ["60", "80", "100"] and len(server.bodies) == 5
    assert "the limit of 5 seconds is reached" in done.out and "--max-seconds N" in done.out
    clock.now = 1000.0  # between two sessions no time counts
    assert "Ended early" in bilevel("resume", "run", "--max-seconds", "7").out
    assert len(server.bodies) == 7
    assert bilevel("resume", "run", "--max-seconds", "1000").code == 0
    assert fingerprints("run") == clean("a", *A).fingerprints


def test_a_limit_that_is_spent_before_the_baseline_is_a_clean_end_too(serve, bilevel, bilevel_json):
    serve()
    done = bilevel("run", "a", *A, "--max-seconds", "0.000001", "--folder", "run")
    assert done.code == 0, done.err
    assert bilevel_json("status", "run")["state"] == "limit"
    assert bilevel("resume", "run", "--max-seconds", "600").code == 0
    assert bilevel_json("status", "run")["state"] == "finished"


# ---- Ctrl-C ----


@pytest.mark.slow
def test_the_second_ctrl_c_ends_a_question_and_nothing_of_it_is_stored(serve, bilevel, bilevel_json, process, clean):
    server = serve(faults={3: {"hang": True}})
    running = process("run", "a", *A, "--folder", "run")
    assert server.waiting.wait(60), running.communicate()
    running.send_signal(signal.SIGINT)
    assert "stopping after what is running" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 3, err
    assert "bilevel resume run" in out and server.hung_up.wait(10)
    assert len(bilevel_json("show", "run", "--calls")) == 2
    server.faults.clear()
    assert bilevel("resume", "run").code == 0
    assert fingerprints("run") == clean("a", *A).fingerprints
