"""What the providers send, in the form that each of them documents: answers, and errors by kind."""

from typing import Any

STYLES = ("openai", "responses", "anthropic", "google", "deepseek", "glm", "minimax", "compatible")
OPENAI_LIKE = ("openai", "deepseek", "glm", "minimax", "compatible")
MODELS = {
    "openai": "gpt-4o-mini",
    "responses": "gpt-5-mini",
    "anthropic": "claude-opus-5-5",
    "google": "gemini-2.5-flash",
    "deepseek": "deepseek-reasoner",
    "glm": "glm-4.6",
    "minimax": "MiniMax-M2",
    "compatible": "qwen2.5-7b-instruct",
}
TOKENS_IN, TOKENS_OUT = 11, 7


def answer(style: str, text: str, *, reasoning: str = "", finish: str = "stop") -> dict[str, Any]:
    """The body of a successful reply. `finish` is "stop", "length" or "refused"."""
    if style == "anthropic":
        return _anthropic(text, reasoning, finish)
    if style == "google":
        return _google(text, reasoning, finish)
    if style == "responses":
        return _responses(text, reasoning, finish)
    return _chat(style, text, reasoning, finish)


def _chat(style: str, text: str, reasoning: str, finish: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    reason = {"stop": "stop", "length": "length", "refused": "content_filter"}[finish]
    if style == "openai":
        message |= {"refusal": None, "annotations": []}
        if finish == "refused":
            message |= {"content": None, "refusal": text}
            reason = "stop"
    if style in ("deepseek", "glm") and reasoning:
        message["reasoning_content"] = reasoning
    if style == "minimax" and reasoning:
        message["reasoning_details"] = [{"type": "reasoning.text", "id": "1", "index": 0, "text": reasoning}]
    if style == "compatible" and reasoning:
        message["content"] = f"<think>\n{reasoning}\n</think>\n\n{text}"
    if style == "glm" and finish == "refused":
        reason = "sensitive"
    body: dict[str, Any] = {
        "id": "chatcmpl-123",
        "object": "chat.completion",
        "created": 1760000000,
        "model": MODELS[style],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT},
    }
    return body | {"base_resp": {"status_code": 0, "status_msg": ""}} if style == "minimax" else body


def _anthropic(text: str, reasoning: str, finish: str) -> dict[str, Any]:
    thinking = [{"type": "thinking", "thinking": reasoning, "signature": "c2ln"}] if reasoning else []
    return {
        "id": "msg_123",
        "type": "message",
        "role": "assistant",
        "model": MODELS["anthropic"],
        "content": [*thinking, *([{"type": "text", "text": text}] if text else [])],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "refused": "refusal"}[finish],
        "stop_sequence": None,
        "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT},
    }


def _google(text: str, reasoning: str, finish: str) -> dict[str, Any]:
    thoughts = [{"text": reasoning, "thought": True}] if reasoning else []
    candidate = {
        "content": {"role": "model", "parts": [*thoughts, {"text": text}]},
        "finishReason": {"stop": "STOP", "length": "MAX_TOKENS", "refused": "SAFETY"}[finish],
        "index": 0,
    }
    if finish == "refused":
        candidate.pop("content")
    thought = 3 if reasoning else 0
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": TOKENS_IN,
            "candidatesTokenCount": TOKENS_OUT - thought,
            "thoughtsTokenCount": thought,
            "totalTokenCount": TOKENS_IN + TOKENS_OUT,
        },
        "modelVersion": MODELS["google"],
        "responseId": "r1",
    }


def _responses(text: str, reasoning: str, finish: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    if finish == "refused":
        part = {"type": "refusal", "refusal": text}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": reasoning}]}
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}
    cut = finish == "length"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1760000000,
        "model": MODELS["responses"],
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "output": [*([thought] if reasoning else []), message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": TOKENS_IN,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": TOKENS_OUT,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        },
    }


def _openai_error(status: int, message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": message, "type": kind, "param": None, "code": code}}}


def _anthropic_error(status: int, kind: str, message: str) -> dict[str, Any]:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return {"status": status, "body": body}


def _google_error(status: int, name: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": status,
        "body": {"error": {"code": status, "message": message, "status": name, "details": details}},
    }


def _glm_error(status: int, code: str, message: str) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"code": code, "message": message}}}


def _minimax_error(code: int, message: str) -> dict[str, Any]:
    return {
        "status": 200,
        "body": {"id": "1", "choices": None, "base_resp": {"status_code": code, "status_msg": message}},
    }


def _vllm_error(status: int, message: str, kind: str) -> dict[str, Any]:
    return {
        "status": status,
        "body": {"object": "error", "message": message, "type": kind, "param": None, "code": status},
    }


_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
_OPENAI = {
    "busy": _openai_error(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    "broken": _openai_error(500, "The server had an error while processing your request", "server_error", None),
    "key": _openai_error(401, "Incorrect API key provided: {echo}.", "invalid_request_error", "invalid_api_key"),
    "context": _openai_error(400, _LONG, "invalid_request_error", "context_length_exceeded"),
    "money": _openai_error(429, "You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
    "model": _openai_error(404, "The model does not exist", "invalid_request_error", "model_not_found"),
    "request": _openai_error(400, "Invalid value: 'temperature'", "invalid_request_error", "invalid_value"),
}
_INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
_TOO_MANY = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."

ERRORS: dict[str, dict[str, dict[str, Any]]] = {
    "openai": _OPENAI,
    "responses": _OPENAI,
    "anthropic": {
        "busy": _anthropic_error(429, "rate_limit_error", "This request would exceed your rate limit"),
        "broken": _anthropic_error(529, "overloaded_error", "Overloaded"),
        "key": _anthropic_error(401, "authentication_error", "invalid x-api-key {echo}"),
        "context": _anthropic_error(400, "invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum"),
        "money": _anthropic_error(400, "invalid_request_error", "Your credit balance is too low to access the API"),
        "model": _anthropic_error(404, "not_found_error", "model: claude-none"),
        "request": _anthropic_error(400, "invalid_request_error", "messages: at least one message is required"),
    },
    "google": {
        "busy": _google_error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        "broken": _google_error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "key": _google_error(400, "INVALID_ARGUMENT", "API key not valid: {echo}.", _INFO),
        "context": _google_error(400, "INVALID_ARGUMENT", _TOO_MANY),
        "money": _google_error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", _DAY),
        "model": _google_error(404, "NOT_FOUND", "models/none is not found for API version v1beta"),
        "request": _google_error(400, "INVALID_ARGUMENT", "Invalid value at 'contents'"),
    },
    "deepseek": {
        "busy": _openai_error(429, "Rate limit reached", "rate_limit_error", None),
        "broken": _openai_error(503, "Service is too busy.", "service_unavailable_error", None),
        "key": _openai_error(
            401,
            "Authentication Fails, Your api key: {echo} is invalid",
            "authentication_error",
            "invalid_request_error",
        ),
        "context": _openai_error(400, _LONG, "invalid_request_error", "invalid_request_error"),
        "money": _openai_error(402, "Insufficient Balance", "unknown_error", "invalid_request_error"),
        "model": _openai_error(400, "Model Not Exist", "invalid_request_error", "invalid_request_error"),
        "request": _openai_error(422, "Invalid parameters", "invalid_request_error", "invalid_request_error"),
    },
    "glm": {
        "busy": _glm_error(429, "1302", "Rate limit reached for requests"),
        "broken": _glm_error(500, "500", "Internal Error"),
        "key": _glm_error(401, "1000", "Authentication Failed: {echo}"),
        "context": _glm_error(400, "1261", "Prompt exceeds max length"),
        "money": _glm_error(429, "1113", "Insufficient balance or no resource package. Please recharge."),
        "model": _glm_error(400, "1211", "Unknown Model, please check the model code."),
        "request": _glm_error(400, "1210", "API call parameters are incorrect"),
    },
    "minimax": {
        "busy": _minimax_error(1002, "rate limit"),
        "broken": _minimax_error(1000, "unknown error"),
        "key": _minimax_error(1004, "login fail: {echo}"),
        "context": _minimax_error(2013, "invalid params, context window exceeds limit"),
        "money": _minimax_error(1008, "insufficient balance"),
        "model": _minimax_error(2013, "invalid params, unknown model 'none'"),
        "request": _minimax_error(2013, "invalid params"),
    },
    "compatible": {
        "busy": _vllm_error(429, "Too many requests", "TooManyRequests"),
        "broken": _vllm_error(503, "Loading model", "unavailable_error"),
        "key": {"status": 401, "body": {"error": "Unauthorized {echo}"}},
        "context": _vllm_error(400, _LONG, "BadRequestError"),
        "money": _vllm_error(402, "Payment required", "PaymentRequired"),
        "model": _vllm_error(404, "The model `none` does not exist.", "NotFoundError"),
        "request": _vllm_error(400, "temperature must be non-negative", "BadRequestError"),
    },
}
