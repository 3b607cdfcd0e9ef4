"""Each provider, in its documented wire format: what is sent, and what comes back."""

import json

import pytest

pytest.importorskip("pydantic_ai")

from asking import QUESTION, SECRET
from wires import MODELS, OPENAI_LIKE, STYLES, TOKENS_IN, TOKENS_OUT, answer

from bilevel.call import Finish, Message, Request

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "value": {"type": "number", "minimum": 0}},
    "required": ["name", "value"],
    "additionalProperties": False,
}
ASKED = Request((Message("user", "Give JSON."),), schema=SCHEMA)
PATHS = {
    "anthropic": "/v1/messages",
    "google": f"/v1beta/models/{MODELS['google']}:generateContent",
    "responses": "/v1/responses",
}


@pytest.mark.parametrize("style", STYLES)
def test_an_answer_comes_with_its_model_its_tokens_and_a_price_where_one_is_known(asking, style):
    ask = asking(style, "try a smaller step")
    reply = ask()
    assert reply.text == "try a smaller step"
    provider = "openai-responses" if style == "responses" else style
    assert reply.model == f"{provider}:{MODELS[style]}"
    assert (reply.tokens_in, reply.tokens_out) == (TOKENS_IN, TOKENS_OUT)
    assert reply.finish is Finish.STOP
    assert reply.money is None if style == "compatible" else 0 < reply.money < 0.01
    assert not ask.notes


@pytest.mark.parametrize("style", STYLES)
def test_the_request_goes_where_it_should_with_the_key_and_all_that_was_said(asking, style):
    ask = asking(style)
    ask()
    (asked,) = ask.server.requests
    assert asked.path.split("?")[0] == PATHS.get(style, "/v1/chat/completions")
    header = {"google": ("x-goog-api-key", SECRET)}
    name, value = header.get(style, ("authorization", f"Bearer {SECRET}"))  # Anthropic's SDK sends it so, since 2.x
    assert asked.headers.get(name, asked.headers.get("x-api-key", "")).endswith(value[-len(SECRET) :])
    assert style != "anthropic" or "anthropic-version" in asked.headers
    assert SECRET not in asked.path
    assert "You are terse." in asked.prompt
    assert "What next?" in asked.prompt
    if style != "google":
        assert asked.body["model"] == MODELS[style]


@pytest.mark.parametrize("style", STYLES)
def test_the_limit_and_the_seed_are_sent_where_the_provider_has_them(asking, style):
    ask = asking(style)
    ask(seed=2**40 + 9)
    body = ask.server.requests[0].body
    if style == "google":
        config = body["generationConfig"]
        assert (config["maxOutputTokens"], config["seed"]) == (300, 9)
    elif style == "responses":
        assert body["max_output_tokens"] == 300
    else:
        name = "max_completion_tokens" if style in ("openai", "minimax") else "max_tokens"
        assert body[name] == 300
        assert body.get("seed") == (None if style in ("anthropic", "minimax") else 9)


@pytest.mark.parametrize("style", OPENAI_LIKE)
def test_the_temperature_is_sent_only_if_given(asking, style):
    ask = asking(style, name="openai:gpt-4o-mini" if style == "openai" else "")
    ask()
    ask(Request(QUESTION.messages, temperature=0.5))
    assert [request.body.get("temperature") for request in ask.server.requests] == [None, 0.5]


@pytest.mark.parametrize("style", OPENAI_LIKE)
def test_a_conversation_keeps_its_turns(asking, style):
    ask = asking(style)
    ask(QUESTION.then("{broken", "that was no JSON").then("", "nor was that"))
    roles = [message["role"] for message in ask.server.requests[0].body["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "{broken" in ask.server.requests[0].prompt


@pytest.mark.parametrize("style", STYLES)
def test_a_schema_is_enforced_by_the_server_where_it_can_and_is_in_the_prompt_where_not(asking, style):
    ask = asking(style, '{"name": "lr", "value": 0.1}')
    assert ask(ASKED).text == '{"name": "lr", "value": 0.1}'
    asked = ask.server.requests[0]
    body = asked.body
    if style in ("openai", "compatible"):
        assert body["response_format"]["type"] == "json_schema"
        assert body["response_format"]["json_schema"]["schema"]["required"] == ["name", "value"]
    elif style == "responses":
        assert body["text"]["format"]["schema"]["required"] == ["name", "value"]
    elif style == "anthropic":
        assert body["output_config"]["format"]["schema"]["required"] == ["name", "value"]
    elif style == "google":
        assert body["generationConfig"]["responseMimeType"] == "application/json"
        assert "name" in str(body["generationConfig"]["responseJsonSchema"])
    else:
        assert '"required": ["name", "value"]' in asked.prompt
        expected = None if style == "minimax" else {"type": "json_object"}
        assert body.get("response_format") == expected


@pytest.mark.parametrize("style", STYLES)
def test_prompted_mode_puts_the_schema_into_the_prompt(asking, style):
    ask = asking(style, '{"name": "lr", "value": 0.1}', output_mode="prompted")
    ask(ASKED)
    assert '"required": ["name", "value"]' in ask.server.requests[0].prompt


def test_tool_mode_reads_the_answer_from_the_call(asking):
    body = answer("openai", "")
    arguments = '{"name": "lr", "value": 0.1}'
    call = {"id": "call_1", "type": "function", "function": {"name": "answer", "arguments": arguments}}
    body["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
    body["choices"][0]["finish_reason"] = "tool_calls"
    ask = asking("openai", {"body": body}, output_mode="tool")
    assert json.loads(ask(ASKED).text) == json.loads(arguments)
    (tool,) = ask.server.requests[0].body["tools"]
    assert tool["function"]["name"] == "answer"


@pytest.mark.parametrize("style", [style for style in STYLES if style != "openai"])
def test_reasoning_is_kept_apart_from_the_answer(asking, style):
    ask = asking(style, {"body": answer(style, "smaller", reasoning="it overshoots")})
    reply = ask()
    assert (reply.text, reply.reasoning) == ("smaller", "it overshoots")
    assert reply.tokens_out == TOKENS_OUT


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("<think>\na\nb\n</think>\n\nyes", "yes", "a\nb"),
        ("  <think>cut off", "", "cut off"),
        ("the tag was in the prompt\n</think>\n\nyes", "yes", "the tag was in the prompt"),
        ('{"tag": "</think>", "a": 1}', '{"tag": "</think>", "a": 1}', ""),
        ("<think></think>yes", "yes", ""),
        ("use `<think>` and `</think>` here", "use `<think>` and `</think>` here", ""),
        ("<thinking>a</thinking>yes", "yes", "a"),
    ],
)
@pytest.mark.parametrize("style", ["openai", "deepseek", "glm", "minimax", "compatible"])
def test_thinking_tags_at_the_head_are_reasoning_and_in_the_middle_text(asking, style, content, text, reasoning):
    reply = asking(style, content)()
    assert (reply.text, reply.reasoning) == (text, reasoning)


@pytest.mark.parametrize("style", STYLES)
def test_a_cut_off_answer_says_so(asking, style):
    reply = asking(style, {"body": answer(style, "half an ans", finish="length")})()
    assert (reply.text, reply.finish) == ("half an ans", Finish.LENGTH)


@pytest.mark.parametrize("style", STYLES)
def test_an_empty_answer_is_an_answer(asking, style):
    reply = asking(style, "")()
    assert (reply.text, reply.finish) == ("", Finish.STOP)


@pytest.mark.parametrize("style", STYLES)
def test_a_refusal_is_an_answer(asking, style):
    reply = asking(style, {"body": answer(style, "I cannot help with that.", finish="refused")})()
    assert reply.finish is Finish.REFUSED
    if style in ("openai", "responses"):
        assert reply.text == "I cannot help with that."


def test_a_prompt_blocked_by_google_is_a_refusal(asking):
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}}
    reply = asking("google", {"body": body})()
    assert (reply.text, reply.finish) == ("", Finish.REFUSED)


@pytest.mark.parametrize(
    ("style", "body"),
    [
        ("glm", {"error": {"code": "1301", "message": "unsafe or sensitive content"}}),
        ("minimax", {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
        ("compatible", {"error": {"message": "filtered", "code": "content_filter"}}),
    ],
)
def test_a_filter_that_answers_with_an_error_is_a_refusal(asking, style, body):
    status = 200 if style == "minimax" else 400
    assert asking(style, {"status": status, "body": body})().finish is Finish.REFUSED


def test_reasoning_that_uses_up_the_whole_limit_is_a_cut_off_answer(asking):
    message = "Could not finish the message because max_tokens or model output limit was reached."
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    reply = asking("openai", {"status": 400, "body": body})()
    assert (reply.text, reply.finish) == ("", Finish.LENGTH)


@pytest.mark.parametrize("thinking", ["off", "low"])
def test_how_hard_it_thinks_can_be_said(asking, thinking):
    ask = asking("google", thinking=thinking)
    ask()
    assert "thinkingConfig" in ask.server.requests[0].body["generationConfig"]
