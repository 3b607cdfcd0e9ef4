"""What fails: asked again where it may work later, an error at once where not, and never a key in any of it."""

import socket
import threading
import traceback

import pytest

pytest.importorskip("pydantic_ai")

from asking import QUESTION, SECRET, full_name, keys_for
from servers import ScriptedServer
from wires import ERRORS, STYLES, answer

from bilevel.call import Watch
from bilevel.errors import ContextOverflow, InputError, ModelUnavailable, Stopped
from bilevel.llm import Keys, ModelOptions, connect

ECHOES = (SECRET, f"{SECRET[:7]}****{SECRET[-4:]}", f"****{SECRET[-4:]}", SECRET[:20], f"{SECRET[:10]}...{SECRET[-4:]}")


def error(style, kind, echo="", **more):
    """A provider's documented error reply, with an echo of the key where it gives one."""
    reply = ERRORS[style][kind]

    def filled(value):
        if isinstance(value, dict):
            return {name: filled(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [filled(item) for item in value]
        return value.replace("{echo}", echo) if isinstance(value, str) else value

    return {**filled(reply), **more}


def said(ask, caught):
    """Everything that a user could see of a failure."""
    return "\n".join(
        [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value), *map(str, ask.notes)]
    )


def holds_no_key(text):
    return not any(SECRET[start : start + 10] in text for start in range(len(SECRET) - 9)) and SECRET[-4:] not in text


@pytest.mark.parametrize("style", STYLES)
def test_a_rate_limit_is_waited_for_as_long_as_the_server_asks(asking, style):
    ask = asking(style, error(style, "busy", headers={"Retry-After": "0.03"}), "ok")
    assert ask().text == "ok"
    assert len(ask.server.requests) == 2
    ((kind, text),) = ask.notes
    assert kind == "retry"
    assert "attempt 2 of 8 in 0.03 s" in text


def test_google_says_how_long_to_wait_in_the_body(asking):
    busy = error("google", "busy")
    busy["body"]["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"}]
    ask = asking("google", busy, "ok")
    assert ask().text == "ok"
    assert "in 0.02 s" in ask.notes[0][1]


@pytest.mark.parametrize("style", STYLES)
def test_a_server_error_is_asked_again(asking, style):
    ask = asking(style, error(style, "broken"), error(style, "broken"), "ok")
    assert ask().text == "ok"
    assert len(ask.server.requests) == 3
    assert [kind for kind, _ in ask.notes] == ["retry", "retry"]


@pytest.mark.parametrize("style", STYLES)
def test_no_retry_is_made_but_those_that_are_told(asking, style):
    ask = asking(style, error(style, "broken"), attempts=3)
    with pytest.raises(ModelUnavailable, match="asked 3 times") as caught:
        ask()
    assert len(ask.server.requests) == 3
    assert len(ask.notes) == 2
    assert "`bilevel resume`" in str(caught.value)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", '{"choices": ['])
def test_a_body_that_is_no_json_is_asked_again_like_an_outage(asking, style, body):
    ask = asking(style, {"body": body}, "ok")
    assert ask().text == "ok"
    assert len(ask.server.requests) == 2


@pytest.mark.parametrize("body", ["null", "{}", "[]", '{"choices": []}', '{"choices": [{"message": null}]}'])
def test_json_that_is_no_answer_is_asked_again_too(asking, body):
    assert asking("compatible", {"body": body}, "ok")().text == "ok"


@pytest.mark.parametrize("style", STYLES)
def test_a_server_that_only_sends_rubbish_is_unavailable(asking, style):
    ask = asking(style, {"body": "<html>", "headers": {"Content-Type": "text/html"}}, attempts=2)
    with pytest.raises(ModelUnavailable):
        ask()
    assert len(ask.server.requests) == 2


@pytest.mark.parametrize("style", STYLES)
def test_a_wrong_key_is_told_at_once_and_never_shown(asking, style):
    ask = asking(style, error(style, "key", " or ".join(ECHOES)))
    with pytest.raises(InputError, match="refused the key") as caught:
        ask()
    assert len(ask.server.requests) == 1
    assert holds_no_key(said(ask, caught))
    assert keys_for(style).find("openai" if style == "responses" else style).variable in str(caught.value)
    assert "(environment)" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_not_asked_again(asking, status):
    ask = asking("compatible", {"status": status, "body": {"error": {"message": "no"}}})
    with pytest.raises(InputError, match="refused the key"):
        ask()
    assert len(ask.server.requests) == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_key_in_an_outage_is_not_shown_either(asking, style):
    reply = {"status": 500, "body": f"upstream said: Authorization: Bearer {SECRET} and {SECRET[:7]}***{SECRET[-4:]}"}
    ask = asking(style, reply, attempts=2)
    with pytest.raises(ModelUnavailable) as caught:
        ask()
    assert ask.notes
    assert holds_no_key(said(ask, caught))


@pytest.mark.parametrize("style", STYLES)
def test_a_request_that_is_too_long_is_a_context_overflow(asking, style):
    ask = asking(style, error(style, "context"))
    with pytest.raises(ContextOverflow, match="too long"):
        ask()
    assert len(ask.server.requests) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error", "n_ctx": 4096}}),
        (500, {"error": {"code": 500, "message": "the request exceeds the available context size", "type": "x"}}),
        (413, {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
    ],
)
def test_the_ways_of_other_servers_to_say_that_a_request_is_too_long(asking, status, body):
    with pytest.raises(ContextOverflow):
        asking("compatible", {"status": status, "body": body})()


@pytest.mark.parametrize("style", STYLES)
def test_an_empty_account_is_told_at_once(asking, style):
    ask = asking(style, error(style, "money"))
    with pytest.raises(InputError, match="no balance or quota"):
        ask()
    assert len(ask.server.requests) == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_model_that_does_not_exist_is_told_at_once(asking, style):
    ask = asking(style, error(style, "model"))
    with pytest.raises(InputError, match="there is no model"):
        ask()
    assert len(ask.server.requests) == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_request_that_cannot_be_is_told_with_the_servers_words(asking, style):
    ask = asking(style, error(style, "request"))
    with pytest.raises(InputError, match="cannot answer this request: HTTP 4"):
        ask()
    assert len(ask.server.requests) == 1


@pytest.mark.parametrize("style", STYLES)
def test_a_server_that_does_not_answer_in_time_is_unavailable(asking, style):
    ask = asking(style, {"hang": True}, timeout=0.2, attempts=2)
    with pytest.raises(ModelUnavailable, match="no answer within"):
        ask()
    assert len(ask.server.requests) == 2


@pytest.mark.parametrize("style", STYLES)
def test_a_server_that_is_not_there_is_unavailable(style):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    model = connect(full_name(style), ModelOptions(base_url=url, backoff=0, attempts=2), keys_for(style))
    with pytest.raises(ModelUnavailable, match="asked 2 times") as caught:
        model.complete(QUESTION, 1, Watch())
    assert url in str(caught.value)


def test_waits_double_and_end_when_patience_does(asking):
    ask = asking("compatible", error("compatible", "broken"), backoff=0.01, patience=0.1)
    with pytest.raises(ModelUnavailable):
        ask()
    waits = [text.rpartition(" in ")[2] for _, text in ask.notes]
    assert waits == [f"{0.01 * 2**n:g} s" for n in range(len(waits))]
    assert 1 <= len(waits) <= 3


def test_a_wait_beyond_patience_is_not_begun(asking):
    ask = asking("openai", error("openai", "busy", headers={"Retry-After": "3600"}), patience=10)
    with pytest.raises(ModelUnavailable, match="wait 3600 s"):
        ask()
    assert len(ask.server.requests) == 1


def test_a_stop_ends_a_question_that_goes_on(asking):
    cancel = threading.Event()
    ask = asking("compatible", script=lambda prompt, body: cancel.set() or {"hang": True})
    with pytest.raises(Stopped, match="`bilevel resume`"):
        ask.model.complete(QUESTION, 1, Watch(cancel))
    assert len(ask.server.requests) == 1
    assert ask.server.hung_up.wait(10), "the server was left to go on for nobody"


def test_a_stop_ends_a_wait(asking):
    cancel = threading.Event()
    ask = asking("compatible", error("compatible", "busy", headers={"Retry-After": "300"}))
    with pytest.raises(Stopped):
        ask.model.complete(QUESTION, 1, Watch(cancel, lambda kind, text: cancel.set()))
    assert len(ask.server.requests) == 1


def test_a_polite_stop_ends_the_waiting_but_not_a_question(asking):
    stop = threading.Event()
    ask = asking("compatible", error("compatible", "busy", headers={"Retry-After": "300"}))
    with pytest.raises(Stopped, match="`bilevel resume` asks it again"):
        ask.model.complete(QUESTION, 1, Watch(note=lambda kind, text: stop.set(), stop=stop))
    answered = asking("compatible", script=lambda prompt, body: stop.set() or "well")
    stop.clear()
    assert answered.model.complete(QUESTION, 1, Watch(stop=stop)).text == "well"


def test_nothing_is_asked_after_a_stop(asking):
    cancel = threading.Event()
    cancel.set()
    ask = asking("compatible")
    with pytest.raises(Stopped):
        ask.model.complete(QUESTION, 1, Watch(cancel))
    assert not ask.server.requests


def test_several_threads_share_a_model(asking):
    ask = asking("compatible", script=lambda prompt, body: f"answer {body['seed']}")
    answers = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.update({n: ask.model.complete(QUESTION, n, Watch()).text}))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert answers == {n: f"answer {n}" for n in range(8)}


def test_an_interrupted_answer_of_glm_is_asked_again(asking):
    broken = answer("glm", "half")
    broken["choices"][0]["finish_reason"] = "network_error"
    ask = asking("glm", {"body": broken}, "whole")
    assert ask().text == "whole"


def test_a_local_server_that_wants_a_key_says_which_variable(serve):
    server: ScriptedServer = serve("compatible", [error("compatible", "key")])
    model = connect("vllm:m", ModelOptions(base_url=server.url), Keys())
    with pytest.raises(InputError, match="set VLLM_API_KEY"):
        model.complete(QUESTION, 1, Watch())
