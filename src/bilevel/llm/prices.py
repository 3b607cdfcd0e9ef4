"""What a reply cost: from the user's own prices, else from the price table that the package `genai-prices` brings."""

from collections.abc import Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bilevel.llm.directory import Provider
from bilevel.llm.options import Prices


def money(own: Prices | None, provider: Provider, names: tuple[str, ...], usage: Any) -> float | None:
    """US dollars for a reply's tokens, None where no price is known (a local server, a model not in the table).

    `names` are the names that the model may go by, the most exact first. `usage` has `input_tokens` and
    `output_tokens`; what it says of cached tokens is used too.
    """
    if own is not None:
        spent = usage.input_tokens * own.input_per_million + usage.output_tokens * own.output_per_million
        return float(spent) / 1e6
    if not provider.prices:
        return None
    return next((found for name in names if (found := _listed(provider.prices, name, usage)) is not None), None)


def money_for(own: Prices | None, provider: Provider, model: str, tokens_in: int, tokens_out: int) -> float | None:
    """As `money`, for a call that was not made."""
    from genai_prices import Usage

    return money(own, provider, (model,), Usage(input_tokens=tokens_in, output_tokens=tokens_out))


def _listed(provider: str, model: str, usage: Any) -> float | None:
    from genai_prices import calc_price

    try:
        return float(calc_price(usage, model, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None


def price_table() -> str:
    """Which price table is in use: its version, and the day of the newest price in it that is in force."""
    try:
        name = f"genai-prices {version('genai-prices')}"
    except PackageNotFoundError:
        return "none (genai-prices is not installed)"
    newest = max((day for day in _days() if day <= date.today()), default=None)
    return name if newest is None else f"{name}, newest dated price {newest.isoformat()}"


def _days() -> Iterator[date]:
    from genai_prices.data import providers

    for provider in providers:
        for model in provider.models:
            for price in model.prices if isinstance(model.prices, list) else ():
                day = getattr(price.constraint, "start_date", None)
                if isinstance(day, date):
                    yield day
