"""What a run does when its model does not answer, or not usably; each fault is one reply of a real server."""

import json

import pytest

pytest.importorskip("pydantic_ai")

from asking import SECRET
from researcher_server import cut, error, refused, values
from runs import events, fingerprints, model_of

MODEL = model_of("compatible")


SIZES = {
    "a": ("--task", "sphere", "--model", MODEL, "--trials", "4"),
    "c": ("--task", "sphere", "--model", MODEL, "--inner-budget", "3", "--outer-cycles", "2"),
}


@pytest.fixture
def run(serve, bilevel, recipe):
    """Run a recipe on the sphere in the folder `run`, against a server with faults."""

    def start(faults=None, base="a", table=None, **server):
        made = serve(faults=faults, **server)
        return made, bilevel("run", recipe(base, **(table or {})), *SIZES[base], "--folder", "run")

    return start


@pytest.fixture
def unharmed(clean):
    """Hold the run in the folder `run` against the one without any fault, which is returned."""

    def compare(base="a"):
        without = clean(base, *SIZES[base])
        assert fingerprints("run") == without.fingerprints
        return without

    return compare


# ---- asked again, and nothing else changes ----


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (error("compatible", "busy", **{"Retry-After": "0.02"}), "in 0.02 s"),
        (error("compatible", "broken"), "attempt 2 of 3"),
        ({"status": 200, "body": "<html>no JSON</html>"}, "attempt 2 of 3"),
        ({"status": 200, "body": {"choices": []}}, "attempt 2 of 3"),
    ],
    ids=["rate limit", "server error", "no JSON", "no choices"],
)
def test_a_passing_failure_is_waited_out_and_is_an_event_of_the_run(run, unharmed, fault, told):
    server, done = run({2: fault})
    assert done.code == 0, done.err
    (retry,) = events("run", "retry")
    assert MODEL in retry and told in retry
    assert server.bodies[1] == server.bodies[2]
    assert len(server.bodies) == len(unharmed().bodies) + 1


def test_a_retry_is_told_while_the_run_goes_on(run):
    _, done = run({2: error("compatible", "broken")})
    assert f"retry: {events('run', 'retry')[0]}" in done.out


def test_a_question_without_an_answer_is_given_up_and_asked_again(run, unharmed):
    server, done = run({2: {"hang": True}}, table={"timeout": 0.3})
    assert done.code == 0, done.err
    (retry,) = events("run", "retry")
    assert "no answer within 0.3 s" in retry
    assert server.bodies[1] == server.bodies[2]
    unharmed()


# ---- gone for good ----


@pytest.mark.slow
@pytest.mark.parametrize(("base", "gone_from"), [("a", 3), ("c", 1), ("c", 7)])
def test_a_server_that_is_gone_ends_the_run_and_a_resume_finishes_it_as_if_it_had_never_been(
    run, serve, bilevel, bilevel_json, unharmed, base, gone_from
):
    server, done = run(base=base, gone_from=gone_from)
    assert done.code == 1
    assert "did not answer, asked 3 times" in done.err and "bilevel resume" in done.err
    assert bilevel_json("status", "run")["state"] == "interrupted"
    answered = server.bodies[: gone_from - 1]
    back = serve()
    resumed = bilevel("resume", "run")
    assert resumed.code == 0, resumed.err
    assert not set(answered) & set(back.bodies)
    unharmed(base)
    assert bilevel("replay", "run").code == 0


@pytest.mark.slow
def test_a_wrong_key_ends_the_run_with_exit_code_2_and_loses_nothing(run, serve, bilevel, unharmed):
    reply = error("compatible", "key")
    reply["body"] = {"error": f"Unauthorized {SECRET}, that is {SECRET[:6]}****{SECRET[-4:]}"}
    _, done = run({3: reply})
    assert done.code == 2
    assert "refused the key" in done.err and "OPENAI_COMPATIBLE_API_KEY (environment)" in done.err
    assert SECRET not in done.said and SECRET[-4:] not in done.said
    assert "What was finished is stored in run" in done.out
    assert not events("run", "retry")
    serve(key="sk-another-0123456789-klmnopq")
    assert bilevel("resume", "run").code == 0
    unharmed()


def test_a_missing_key_is_told_before_a_folder_is_made(bilevel, tmp_path):
    done = bilevel("run", "c", "--model", "anthropic:claude-opus-5-5", "--folder", "run")
    assert done.code == 2 and "ANTHROPIC_API_KEY" in done.err
    assert bilevel("status", "run").code == 2


# ---- answers that cannot be used ----


def test_malformed_json_is_asked_for_again_with_the_exact_error(run):
    broken = '{"drafts": [{"why": "x", "changes": {"x0": 1.5,}}]}'
    server, done = run({2: broken})
    assert done.code == 0, done.err
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(broken)
    again = server.requests[2]
    assert [message["role"] for message in again.body["messages"]][-2:] == ["assistant", "user"]
    assert again.body["messages"][-2]["content"] == broken
    said = again.body["messages"][-1]["content"]
    assert str(caught.value) in said and said.startswith("That answer cannot be used: ")
    assert again.prompt.startswith(server.requests[1].prompt)


def test_a_value_out_of_bounds_is_asked_for_again_with_the_bounds(run):
    server, done = run({1: values({"x0": 99.0, "nothing": 1})})
    assert done.code == 0, done.err
    said = server.requests[1].body["messages"][-1]["content"]
    assert "x0: " in said and "99" in said and "nothing: there is no such parameter" in said


@pytest.mark.parametrize(
    ("fault", "objection", "shown"),
    [
        (cut("compatible"), "the answer was cut off at its limit of tokens", '{"drafts": [{"why"'),
        ("", "the answer was empty", "(an empty answer)"),
        ("I will not do that.", "the answer holds no JSON object", "I will not do that."),
    ],
    ids=["cut off", "empty", "prose"],
)
def test_an_answer_that_holds_nothing_is_objected_to(run, fault, objection, shown):
    server, done = run({1: fault})
    assert done.code == 0, done.err
    turns = [message["content"] for message in server.requests[1].body["messages"]][-2:]
    assert turns[0] == shown and objection in turns[1]


def test_a_refusal_is_not_argued_with_and_the_trial_goes_on_without_it(run, bilevel_json):
    server, done = run({1: refused("compatible")})
    assert done.code == 0, done.err
    assert "That answer cannot be used" not in server.requests[1].prompt
    trial = bilevel_json("show", "run", "--trial", "1")
    assert [fault["guest"] for fault in trial["faults"]] == ["researcher llm"]
    assert "refused to answer" in trial["faults"][0]["message"] and trial["status"] == "ok"
    assert bilevel_json("show", "run", "--calls")[0]["finish"] == "refused"


def test_a_model_that_never_answers_usably_makes_refused_trials_and_the_run_ends_well(run, bilevel, bilevel_json):
    _, done = run(says={"draft": "never"})
    assert done.code == 0, done.err
    assert [trial["status"] for trial in bilevel_json("show", "run")] == ["ok", *["refused"] * 4]
    assert bilevel("replay", "run").code == 0


# ---- too long ----


@pytest.mark.slow
@pytest.mark.parametrize("style", ["compatible", "anthropic", "google"])
def test_a_prompt_that_is_too_long_is_written_shorter(serve, bilevel, style):
    server = serve(style, faults={9: error(style, "context")})
    args = ("--task", "sphere", "--model", model_of(style), "--trials", "12", "--folder", "run")
    done = bilevel("run", "a", *args)
    assert done.code == 0, done.err
    assert len(server.requests[9].prompt) < len(server.requests[8].prompt)
    assert server.roles[9] == "draft"
    assert bilevel("replay", "run").code == 0


@pytest.mark.slow
def test_a_prompt_of_each_level_that_is_too_long_is_written_shorter(serve, bilevel, recipe):
    once = set()

    def first_of_its_role(role):
        def say(prompt):
            if role in once:
                return None
            once.add(role)
            return error("compatible", "context")

        return say

    roles = ("draft", "settings", "explore", "critique", "specify", "generate", "lessons")
    server = serve(says={role: first_of_its_role(role) for role in roles})
    sizes = ("--task", "sphere:dimensions=60", "--inner-budget", "3", "--outer-cycles", "2")
    done = bilevel("run", recipe("c"), "--model", MODEL, *sizes, "--folder", "run")
    assert done.code == 0, done.err
    for role in roles:
        first, second = server.prompts(role)[:2]
        assert len(second) < len(first), role
    assert bilevel("replay", "run").code == 0


# ---- another model in its place, only where it was named ----


def test_a_declared_second_model_answers_where_the_first_does_not(serve, bilevel, bilevel_json, recipe):
    first, second = serve("deepseek", gone_from=3), serve("compatible")
    chain = f"{model_of('deepseek')},{MODEL}"
    done = bilevel("run", recipe(), "--task", "sphere", "--model", chain, "--trials", "4", "--folder", "run")
    assert done.code == 0, done.err
    calls = bilevel_json("show", "run", "--calls")
    answered = [call["model"] for call in calls]
    assert answered[:2] == [model_of("deepseek")] * 2 and set(answered[2:]) == {MODEL}
    assert {call["asked"] for call in calls} == {chain}
    fallbacks = events("run", "fallback")
    assert fallbacks == [f"{model_of('deepseek')} did not answer; asking {MODEL}"] * (len(calls) - 2)
    assert len(first.bodies) > 3 and len(second.bodies) == len(calls) - 2
    assert f"fallback: {fallbacks[0]}" in done.out
    assert bilevel("replay", "run").code == 0


def test_no_other_model_is_asked_where_none_was_named(serve, run):
    idle = serve("deepseek")
    _, done = run(gone_from=2)
    assert done.code == 1 and not idle.bodies and not events("run", "fallback")
