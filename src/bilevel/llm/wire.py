"""Our requests and replies as pydantic-ai's, and one question asked through its low-level interface."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from bilevel.call import Finish, Message, Reply, Request
from bilevel.llm.directory import Provider
from bilevel.llm.options import ModelOptions
from bilevel.llm.prices import money

ANSWER = "answer"  # the name of the schema, and of the tool in output mode "tool"
_NOTHING = "(no text)"  # some providers refuse an empty turn
_HEAD = re.compile(r"\s*<think(?:ing)?>(?P<reasoning>.*?)(?:</think(?:ing)?>\s*|\Z)", re.DOTALL)
_TAIL = re.compile(
    r"\A(?P<reasoning>(?:(?!<think).)*?)</think>\s*(?:\n|\Z)\s*", re.DOTALL
)  # its opening is in the prompt


class Interrupted(Exception):
    """The provider says that the answer broke off for a reason of its own."""


async def ask(model: Model[Any], request: Request, seed: int, options: ModelOptions) -> ModelResponse:
    """One attempt. Raises TimeoutError after `options.timeout` seconds, Interrupted, and what pydantic-ai raises."""
    parameters = _parameters(model, request, options.output_mode)
    try:
        async with asyncio.timeout(options.timeout):
            response = await model_request(
                model,
                _messages(request.messages),
                model_settings=_settings(model, request, seed, options),
                model_request_parameters=parameters,
            )
    except TimeoutError:
        raise TimeoutError(f"no answer within {options.timeout:g} s") from None
    if response.finish_reason == "error":
        raise Interrupted("the provider broke the answer off")
    return response


def reply_of(response: ModelResponse, provider: Provider, asked: str, model: str, options: ModelOptions) -> Reply:
    """The reply; `asked` is the provider's name as the user wrote it, `model` the model's."""
    text, reasoning = _parts(response)
    details = response.provider_details or {}
    finish = {"length": Finish.LENGTH, "content_filter": Finish.REFUSED}.get(response.finish_reason or "", Finish.STOP)
    if finish is Finish.REFUSED and not text:
        text = str(details.get("refusal") or "")
    answered = _bare(response.model_name or model)
    usage = response.usage
    return Reply(
        text=text,
        model=f"{asked}:{answered}",
        reasoning=reasoning,
        finish=finish,
        tokens_in=usage.input_tokens,
        tokens_out=usage.output_tokens,
        money=money(options.prices, provider, tuple(dict.fromkeys((answered, model))), usage),
    )


def _bare(name: str) -> str:
    """A model's name; where a local server gives the path of its file, the file's name, so that no path is stored."""
    return re.split(r"[/\\]", name)[-1] if re.match(r"/|[A-Za-z]:[/\\]", name) else name


def _messages(messages: tuple[Message, ...]) -> list[ModelMessage]:
    found: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    for message in messages:
        if message.role == "assistant":
            if parts:
                found.append(ModelRequest(parts=parts))
                parts = []
            found.append(ModelResponse(parts=[TextPart(message.text or _NOTHING)]))
        elif message.role == "system":
            parts.append(SystemPromptPart(message.text))
        else:
            parts.append(UserPromptPart(message.text))
    return [*found, ModelRequest(parts=parts)] if parts else found


def _settings(model: Model[Any], request: Request, seed: int, options: ModelOptions) -> ModelSettings:
    """What is sent beside the messages; only what the model takes, and never a retry that is not ours."""
    wanted: dict[str, Any] = {
        "max_tokens": request.most_tokens,
        "seed": seed % 2**31,
        "timeout": options.timeout,
        "max_retries": 0,
        "openai_include_unmapped_response_data": True,
    }
    if request.temperature is not None:
        wanted["temperature"] = request.temperature
    if options.thinking:
        wanted["thinking"] = False if options.thinking == "off" else options.thinking
    profile = cast(Mapping[str, Any], model.profile)
    refused = {*model.unsupported_settings, *profile.get("openai_unsupported_model_settings", ())}
    return cast(ModelSettings, {name: value for name, value in wanted.items() if name not in refused})


def _parameters(model: Model[Any], request: Request, mode: str) -> ModelRequestParameters:
    if request.schema is None:
        return ModelRequestParameters()
    schema = _thawed(request.schema)
    if mode == "auto":
        mode = "native" if model.profile.get("supports_json_schema_output", False) else "prompted"
    if mode == "tool":
        tool = ToolDefinition(name=ANSWER, parameters_json_schema=schema, description="Give the answer.", kind="output")
        return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)
    output = OutputObjectDefinition(json_schema=schema, name=ANSWER)
    if mode == "native":
        return ModelRequestParameters(output_mode="native", output_object=output)
    return ModelRequestParameters(output_mode="prompted", output_object=output)


def _thawed(value: Any) -> Any:
    """A frozen schema as plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _parts(response: ModelResponse) -> tuple[str, str]:
    """The answer, and the reasoning apart from it."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in response.parts:
        if isinstance(part, TextPart):
            texts.append(part.content)
        elif isinstance(part, ThinkingPart) and part.content:
            thoughts.append(part.content)
        elif isinstance(part, ToolCallPart) and part.tool_name == ANSWER:
            texts.append(part.args_as_json_str())
    thoughts = thoughts or list(_reasoning_details(response))
    text = "".join(texts)
    found = _HEAD.match(text) or _TAIL.match(text)
    if found:
        text = text[found.end() :]
        thoughts.append(found.group("reasoning").strip())
    return text, "\n\n".join(thought for thought in thoughts if thought)


def _reasoning_details(response: ModelResponse) -> Iterator[str]:
    """MiniMax's `reasoning_details`: a list of parts with a text each."""
    unmapped = (response.provider_details or {}).get("unmapped") or {}
    message = unmapped.get("message") if isinstance(unmapped, Mapping) else None
    details = message.get("reasoning_details") if isinstance(message, Mapping) else None
    for item in details if isinstance(details, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("text"), str):
            yield item["text"]
