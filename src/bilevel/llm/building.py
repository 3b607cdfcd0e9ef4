"""pydantic-ai's model behind a name. This module imports it, so it is imported only when a model is used."""

import inspect
import json
from typing import Any, cast

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, create_async_httpx2_client, infer_model
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers import Provider as Theirs
from pydantic_ai.providers import infer_provider_class

from bilevel.errors import InputError, MissingExtra
from bilevel.llm.directory import Provider, unknown

# Tags that no text holds: `<think>` is taken out by us, at the head of a text only, and never out of its middle.
_NEVER = ("\0think\0", "\0/think\0")
_LOCAL_KEY = "none"  # what is sent where a server wants no key

# MiniMax reports errors in the body of a 200; this is the status that each code means.
_MINIMAX_STATUS = {1000: 500, 1001: 504, 1002: 429, 1004: 401, 1008: 402, 1013: 500, 1024: 500, 1033: 500, 1039: 429}
_MINIMAX_STATUS |= {1026: 400, 1027: 400, 1042: 400, 2013: 400, 2045: 429, 2049: 401, 2056: 402, 2061: 403}


def exists(provider: str) -> bool:
    """Whether pydantic-ai knows a provider of that name, its package installed or not."""
    try:
        infer_provider_class(provider)
    except ValueError:
        return False
    except ImportError:
        return True
    return True


def build(provider: Provider, full: str, model: str, key: str, base_url: str) -> Model[Any]:
    """The model, without a question asked. Raises InputError where pydantic-ai cannot make it."""
    try:
        maker = _MAKERS.get(provider.name)
        return maker(model, key or _LOCAL_KEY, base_url) if maker else _other(provider, full, model, key, base_url)
    except ImportError as error:
        if provider.first_class:
            extra = provider.name if provider.name in ("anthropic", "google") else "llm"
            raise MissingExtra(f"the model {full!r}", extra) from error
        raise InputError(
            f"the model {full!r} needs a package that is not installed ({error}); "
            f"install it with: pip install 'pydantic-ai-slim[{provider.name}]'"
        ) from None
    except (UserError, ValueError, TypeError) as error:
        raise InputError(f"the model {full!r} cannot be set up: {error}") from None


def _openai(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=base_url, api_key=key), profile=_profile())


def _responses(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIResponsesModel(model, provider=OpenAIProvider(base_url=base_url, api_key=key))


def _anthropic(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    return AnthropicModel(model, provider=AnthropicProvider(base_url=base_url, api_key=key))


def _google(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    return GoogleModel(model, provider=GoogleProvider(base_url=base_url, api_key=key))


def _deepseek(model: str, key: str, base_url: str) -> Model[Any]:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.deepseek import DeepSeekProvider

    client: Any = create_async_httpx2_client()
    provider = DeepSeekProvider(openai_client=AsyncOpenAI(base_url=base_url, api_key=key, http_client=client))
    return OpenAIChatModel(model, provider=provider, profile=_profile())


def _glm(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.zai import ZaiModel
    from pydantic_ai.providers.zai import ZaiProvider

    profile = _profile(openai_chat_supports_max_completion_tokens=False)
    return ZaiModel(model, provider=ZaiProvider(api_key=key, base_url=base_url), profile=profile)


def _minimax(model: str, key: str, base_url: str) -> Model[Any]:
    """MiniMax documents no JSON mode and no seed; its reasoning comes apart from the text when asked for."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    client = create_async_httpx2_client()
    client.event_hooks["response"].append(_with_real_status)
    provider = OpenAICompatibleProvider("minimax", base_url=base_url, api_key=key, http_client=client)
    profile = _profile(
        openai_unsupported_model_settings=("seed",),
        supports_json_schema_output=False,
        supports_json_object_output=False,
    )
    return OpenAIChatModel(
        model, provider=provider, profile=profile, settings={"extra_body": {"reasoning_split": True}}
    )


async def _with_real_status(response: Any) -> None:
    """Give a 200 whose body is an error the status that the error means, so that it is handled as what it is."""
    if response.status_code != 200:
        return
    await response.aread()
    try:
        code = json.loads(response.content)["base_resp"]["status_code"]
    except (ValueError, KeyError, TypeError):
        return
    if code:
        response.status_code = _MINIMAX_STATUS.get(code, 500)


def _ollama(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.providers.ollama import OllamaProvider

    profile = _profile(openai_chat_supports_max_completion_tokens=False)
    return OllamaModel(model, provider=OllamaProvider(base_url=base_url, api_key=key), profile=profile)


def _vllm(model: str, key: str, base_url: str) -> Model[Any]:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.vllm import VLLMProvider

    profile = _profile(openai_chat_supports_max_completion_tokens=False)
    return OpenAIChatModel(model, provider=VLLMProvider(base_url=base_url, api_key=key), profile=profile)


def _compatible(model: str, key: str, base_url: str) -> Model[Any]:
    """Any server: the older `max_tokens`, one system message, and no special rule for a model's name."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    provider = OpenAICompatibleProvider("compatible", base_url=base_url, api_key=key)
    profile = _profile(
        openai_chat_supports_max_completion_tokens=False,
        openai_chat_supports_multiple_system_messages=False,
        openai_supports_reasoning=False,
    )
    return OpenAIChatModel(model, provider=provider, profile=profile)


def _profile(**more: Any) -> ModelProfile:
    return cast(ModelProfile, {"thinking_tags": _NEVER, **more})


def _other(provider: Provider, full: str, model: str, key: str, base_url: str) -> Model[Any]:
    def make(name: str) -> Theirs[Any]:
        kind: Any = infer_provider_class(name)
        takes = inspect.signature(kind.__init__).parameters
        given = {"api_key": key, "base_url": base_url}
        made: Theirs[Any] = kind(**{name: value for name, value in given.items() if value and name in takes})
        return made

    if not exists(provider.name):
        raise unknown(provider.name, full)
    return infer_model(f"{provider.name}:{model}", provider_factory=make)


_MAKERS = {
    "openai": _openai,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "google": _google,
    "deepseek": _deepseek,
    "glm": _glm,
    "minimax": _minimax,
    "compatible": _compatible,
    "ollama": _ollama,
    "vllm": _vllm,
    "llamacpp": _compatible,
}
