"""Which providers there are: names, the variables of their keys and addresses, and their name in the price table."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bilevel.errors import InputError


@dataclass(frozen=True)
class Provider:
    """A provider. `keys` and `urls` are the variables that are looked up, in this order, the first one leads.

    `base_url` is the address where nothing else is said; empty for the providers that are not first class, which keep
    pydantic-ai's own. `elsewhere` are addresses that go with a key variable or a region. `prices` is the provider's
    name in the price table; empty: its price is unknown. `local`: a server that needs no key.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    base_url: str = ""
    urls: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    prices: str = ""
    local: bool = False
    first_class: bool = True


_COMPATIBLE = "OPENAI_COMPATIBLE_BASE_URL"
_OPENAI = ("OPENAI_API_KEY",), "https://api.openai.com/v1", ("OPENAI_BASE_URL",)

FIRST_CLASS: tuple[Provider, ...] = (
    Provider("openai", "OpenAI, chat completions", *_OPENAI, prices="openai"),
    Provider("openai-responses", "OpenAI, responses (for models that only it serves)", *_OPENAI, prices="openai"),
    Provider(
        "anthropic",
        "Anthropic",
        ("ANTHROPIC_API_KEY",),
        "https://api.anthropic.com",
        ("ANTHROPIC_BASE_URL",),
        prices="anthropic",
    ),
    Provider(
        "google",
        "Google Gemini",
        ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        "https://generativelanguage.googleapis.com",
        ("GOOGLE_BASE_URL",),
        prices="google",
    ),
    Provider(
        "deepseek",
        "DeepSeek",
        ("DEEPSEEK_API_KEY",),
        "https://api.deepseek.com",
        ("DEEPSEEK_BASE_URL",),
        prices="deepseek",
    ),
    Provider(
        "glm",
        "GLM of Z.ai / Zhipu (zai: is the same)",
        ("ZAI_API_KEY", "ZHIPUAI_API_KEY"),
        "https://api.z.ai/api/paas/v4",
        ("GLM_BASE_URL", "ZAI_BASE_URL"),
        MappingProxyType({"ZHIPUAI_API_KEY": "https://open.bigmodel.cn/api/paas/v4"}),
        prices="zai",
    ),
    Provider(
        "minimax",
        "MiniMax (MINIMAX_REGION=global or china)",
        ("MINIMAX_API_KEY",),
        "https://api.minimax.io/v1",
        ("MINIMAX_BASE_URL",),
        MappingProxyType({"global": "https://api.minimax.io/v1", "china": "https://api.minimaxi.com/v1"}),
        prices="minimax",
    ),
    Provider(
        "compatible", "any OpenAI-compatible server", ("OPENAI_COMPATIBLE_API_KEY",), "", (_COMPATIBLE,), local=True
    ),
    Provider("ollama", "Ollama", ("OLLAMA_API_KEY",), "http://127.0.0.1:11434/v1", ("OLLAMA_BASE_URL",), local=True),
    Provider("vllm", "vLLM", ("VLLM_API_KEY",), "http://127.0.0.1:8000/v1", ("VLLM_BASE_URL",), local=True),
    Provider(
        "llamacpp",
        "llama.cpp's server",
        ("LLAMACPP_API_KEY",),
        "http://127.0.0.1:8080/v1",
        ("LLAMACPP_BASE_URL",),
        local=True,
    ),
)
ALIASES: Mapping[str, str] = MappingProxyType({"zai": "glm"})

# The other providers of pydantic-ai, by its names. Where no key is found, pydantic-ai looks for credentials itself.
_OTHER_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alibaba": ("ALIBABA_API_KEY", "DASHSCOPE_API_KEY"),
        "azure": ("AZURE_OPENAI_API_KEY",),
        "azure-responses": ("AZURE_OPENAI_API_KEY",),
        "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
        "bedrock-mantle": ("AWS_BEARER_TOKEN_BEDROCK",),
        "cerebras": ("CEREBRAS_API_KEY",),
        "cohere": ("CO_API_KEY",),
        "crusoe": ("CRUSOE_API_KEY",),
        "fireworks": ("FIREWORKS_API_KEY",),
        "github": ("GITHUB_API_KEY",),
        "github-copilot": ("GITHUB_COPILOT_API_KEY",),
        "google-cloud": (),
        "groq": ("GROQ_API_KEY",),
        "heroku": ("HEROKU_INFERENCE_KEY",),
        "huggingface": ("HF_TOKEN",),
        "litellm": ("LITELLM_API_KEY",),
        "meta": ("META_API_KEY",),
        "mistral": ("MISTRAL_API_KEY",),
        "moonshotai": ("MOONSHOTAI_API_KEY",),
        "nebius": ("NEBIUS_API_KEY",),
        "openrouter": ("OPENROUTER_API_KEY",),
        "ovhcloud": ("OVHCLOUD_API_KEY",),
        "sambanova": ("SAMBANOVA_API_KEY",),
        "together": ("TOGETHER_API_KEY",),
        "vercel": ("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
        "xai": ("XAI_API_KEY",),
    }
)
_OTHER_PRICES: Mapping[str, str] = MappingProxyType({"bedrock": "aws", "xai": "x-ai", "google-cloud": "google"})


def _variable(name: str, ending: str) -> str:
    return f"{name.upper().replace('-', '_')}_{ending}"


def _other(name: str, keys: tuple[str, ...]) -> Provider:
    return Provider(
        name=name,
        title="through pydantic-ai",
        keys=keys,
        urls=(_variable(name, "BASE_URL"),),
        prices=_OTHER_PRICES.get(name, name),
        first_class=False,
    )


OTHERS: tuple[Provider, ...] = tuple(_other(name, keys) for name, keys in _OTHER_KEYS.items())
_BY_NAME: Mapping[str, Provider] = MappingProxyType({p.name: p for p in (*FIRST_CLASS, *OTHERS)})


def all_providers() -> tuple[Provider, ...]:
    """Every provider known by name, first class first."""
    return (*FIRST_CLASS, *OTHERS)


def lookup(name: str) -> Provider | None:
    """The provider of that name or alias; None where this table does not know it."""
    return _BY_NAME.get(ALIASES.get(name, name))


def unlisted(name: str) -> Provider:
    """A provider that pydantic-ai may know, though this table does not."""
    return _other(name, (_variable(name, "API_KEY"),))


def unknown(name: str, full: str) -> InputError:
    """The error for a provider that does not exist, with what there is."""
    known = sorted([*_BY_NAME, *ALIASES])
    near = difflib.get_close_matches(name, known, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return InputError(
        f"there is no provider {name!r}{meant}, in the model name {full!r}; there are: {', '.join(known)}. "
        "Any other OpenAI-compatible server is compatible:MODEL with OPENAI_COMPATIBLE_BASE_URL"
    )


def split(full: str) -> tuple[str, str]:
    """`provider:model` as its two parts. Raises InputError where it is not of that form."""
    provider, colon, model = full.strip().partition(":")
    if not colon or not provider.strip() or not model.strip():
        raise InputError(
            f"{full!r} does not name a model: it must be provider:model, as in deepseek:deepseek-chat; "
            "`bilevel models` lists the providers"
        )
    return provider.strip().lower(), model.strip()
