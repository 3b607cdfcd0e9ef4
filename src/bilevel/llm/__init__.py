"""Adapter: language models of many providers behind the port `bilevel.call.LanguageModel`.

Importing this package is cheap: pydantic-ai is imported when the first question is asked.
"""

import importlib.util
from dataclasses import dataclass
from urllib.parse import urlsplit

from bilevel.call import LanguageModel
from bilevel.errors import InputError, MissingExtra
from bilevel.llm.directory import Provider, all_providers, lookup, split, unknown, unlisted
from bilevel.llm.fallback import Fallback
from bilevel.llm.keys import Keys, Setting
from bilevel.llm.options import ModelOptions, Prices, checked, options_from
from bilevel.llm.prices import money_for, price_table
from bilevel.llm.provider import ProviderModel, shown_url

__all__ = [
    "Fallback",
    "Keys",
    "ModelOptions",
    "Prices",
    "ProviderInfo",
    "ProviderModel",
    "connect",
    "options_from",
    "price",
    "price_table",
    "priced",
    "providers",
]


@dataclass(frozen=True)
class ProviderInfo:
    """A provider as it is listed. `found` is the variable that holds its key, `source` is "environment" or ".env"."""

    name: str
    title: str
    first_class: bool
    keys: tuple[str, ...]
    needs_key: bool
    found: str
    source: str
    base_url: str


def connect(name: str, options: ModelOptions | None = None, keys: Keys | None = None) -> LanguageModel:
    """The model behind a name: "provider:model", or several after commas, a `Fallback` chain in that order.

    Nothing is asked yet. Raises InputError for a name of another form, a provider that does not exist, a missing key,
    an option or address that cannot be; MissingExtra where pydantic-ai is not installed.
    """
    options = checked(options or ModelOptions())
    keys = keys if keys is not None else Keys.load()
    names = [part.strip() for part in name.split(",")]
    models = [_connect(part, options, keys) for part in names]
    if len(models) > 1 and options.base_url:
        raise InputError(
            f"option 'base_url' goes with one model, not with the chain {name!r}; use the *_BASE_URL variables"
        )
    return models[0] if len(models) == 1 else Fallback(tuple(models))


def providers(keys: Keys | None = None) -> tuple[ProviderInfo, ...]:
    """Every provider, first class first, with where its key was found. No key's value is in it."""
    keys = keys if keys is not None else Keys.load()
    return tuple(_info(provider, keys) for provider in all_providers())


def priced(full: str) -> bool:
    """Whether the price table has prices of the provider in "provider:model"; it may not have the model."""
    asked, _ = split(full)
    return bool((lookup(asked) or unlisted(asked)).prices)


def price(full: str, tokens_in: int, tokens_out: int, own: Prices | None = None) -> float | None:
    """What one call of "provider:model" with so many tokens costs, in US dollars; None where no price is known."""
    asked, model = split(full)
    return money_for(own, lookup(asked) or unlisted(asked), model, tokens_in, tokens_out)


def _connect(full: str, options: ModelOptions, keys: Keys) -> LanguageModel:
    asked, model = split(full)
    provider = lookup(asked) or unlisted(asked)
    if importlib.util.find_spec("pydantic_ai") is None:
        raise MissingExtra(f"the model {full!r}", "llm")
    if lookup(asked) is None:
        from bilevel.llm.building import exists

        if not exists(asked):
            raise unknown(asked, full)
    key = keys.need(provider, full)
    url = _base_url(provider, options.base_url, keys, key)
    if provider.first_class and not url:
        raise InputError(
            f"no address for {full!r}: set {provider.urls[0]} in the environment or in .env, or option 'base_url', "
            "as in http://127.0.0.1:8000/v1"
        )
    if url and not _is_address(url):
        raise InputError(
            f"the address {shown_url(url)!r} of {full!r} must be like http://HOST:PORT/v1 or https://HOST/v1"
        )
    return ProviderModel(f"{asked}:{model}", provider, asked, model, url, options, keys, key)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _base_url(provider: Provider, wanted: str, keys: Keys, key: Setting | None) -> str:
    """The option, else the variable, else the region's or the key's, else the provider's own."""
    if wanted:
        return wanted
    if found := keys.get(*provider.urls):
        return found.value
    region = keys.get(f"{provider.name.upper()}_REGION") if "global" in provider.elsewhere else None
    if region:
        if region.value not in provider.elsewhere:
            known = " or ".join(provider.elsewhere)
            raise InputError(f"{region.variable} must be {known}, not {region.value!r} ({region.source})")
        return provider.elsewhere[region.value]
    return provider.elsewhere.get(key.variable if key else "", provider.base_url)


def _info(provider: Provider, keys: Keys) -> ProviderInfo:
    found = keys.get(*provider.keys)
    url = _base_url(provider, "", keys, found)
    return ProviderInfo(
        name=provider.name,
        title=provider.title,
        first_class=provider.first_class,
        keys=provider.keys,
        needs_key=not provider.local,
        found=found.variable if found else "",
        source=found.source if found else "",
        base_url=shown_url(url),
    )
