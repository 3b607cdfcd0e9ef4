"""What a reply cost."""

import pytest

pytest.importorskip("pydantic_ai")

from wires import TOKENS_IN, TOKENS_OUT

from bilevel.llm import Prices, price_table


def test_the_users_own_prices_win(asking):
    reply = asking("openai", prices=Prices(1000.0, 2000.0))()
    assert reply.money == pytest.approx((TOKENS_IN * 1000 + TOKENS_OUT * 2000) / 1e6)


def test_a_local_model_costs_what_its_owner_says(asking):
    assert asking("compatible")().money is None
    assert asking("compatible", prices=Prices(0.0, 0.0))().money == 0.0


def test_a_model_that_the_table_does_not_know_has_no_price(asking):
    ask = asking("openai", script=lambda prompt, body: {"body": unheard_of()}, name="openai:unheard-of-model")
    assert ask().money is None


def unheard_of():
    from wires import answer

    return answer("openai", "ok") | {"model": "unheard-of-model"}


def test_the_table_says_its_version_and_its_day():
    assert price_table().startswith("genai-prices 0.")
    assert "newest dated price 20" in price_table()
