"""What is said, and what is refused, before a run asks its first question."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from asking import SECRET
from folder_tasks import PRINTED, PROGRAM, folder_task
from runs import model_of


def estimated(out):
    found = re.search(r"about (\d+) calls, at their bounds ([\d,]+) tokens, (.*)", out)
    return int(found[1]), int(found[2].replace(",", "")), found[3]


def test_the_calls_of_a_search_are_estimated_with_its_lessons_and_their_price(serve, bilevel):
    server = serve("openai")
    args = ("--task", "sphere", "--model", model_of("openai"), "--trials", "12", "--folder", "run")
    done = bilevel("run", "a", *args)
    assert done.code == 0, done.err
    calls, tokens, cost = estimated(done.out)
    again = json.loads(bilevel("status", "run", "--json").out)["repetition"]["turned_back"]  # asked once more for each
    assert calls == len(server.bodies) - again == 13 and tokens == 13 * (12_000 + 8192)
    assert re.fullmatch(r"\d+\.\d\d US dollars", cost)


@pytest.mark.slow
def test_the_calls_of_all_levels_are_estimated(serve, bilevel):
    server = serve()
    args = ("--task", "sphere", "--model", model_of("compatible"), "--inner-budget", "3", "--outer-cycles", "3")
    done = bilevel("run", "c", *args, "--folder", "run")
    assert done.code == 0, done.err
    calls, _, cost = estimated(done.out)
    assert 0.8 * len(server.bodies) <= calls <= 1.3 * len(server.bodies) and cost == "price unknown"


def test_prices_of_ones_own_are_in_the_estimate(serve, bilevel, recipe):
    serve()
    mine = recipe(default=model_of("compatible"), price_in=1.0, price_out=0.0, prompt_tokens=1_000_000)
    done = bilevel("run", mine, "--task", "sphere", "--trials", "2", "--folder", "run", "--researcher", "llm")
    assert done.code == 0, done.err
    assert estimated(done.out)[2] == "2.00 US dollars"


def test_an_address_with_a_password_is_not_taken_from_a_recipe(bilevel, recipe, tmp_path):
    mine = recipe(default="vllm:m", base_url="http://me:a-long-password@127.0.0.1:9/v1")
    done = bilevel("run", mine, "--researcher", "llm", "--folder", "run")
    assert done.code == 2 and "_BASE_URL" in done.err and "a-long-password" not in done.said
    assert bilevel("status", "run").code == 2  # no folder was made


def test_a_key_in_the_guidance_of_a_recipe_is_not_stored(serve, bilevel, recipe):
    serve()
    mine = recipe(default=model_of("compatible"), text=f'[inner.settings]\nguidance = "use {SECRET}"')
    done = bilevel("run", mine, "--researcher", "llm", "--folder", "run")
    assert done.code == 2 and "inner.settings.guidance" in done.err and SECRET not in done.said
    assert bilevel("status", "run").code == 2


@pytest.mark.parametrize("line", [f'TOKEN = "{SECRET}"', f'print("not {SECRET}")'])
def test_a_key_in_a_file_that_may_be_edited_is_neither_stored_nor_shown(serve, bilevel, tmp_path, line):
    server = serve()
    task = folder_task(tmp_path / "small", program=f"{line}\n{PROGRAM}{PRINTED}")
    done = bilevel("run", "a", "--task", task, "--model", model_of("compatible"), "--trials", "1", "--folder", "run")
    assert done.code == 2 and "holds a key" in done.err and SECRET not in done.said and not server.bodies
    assert bilevel("status", "run").code == 2


@pytest.mark.parametrize(("base", "level"), [("default", "settings"), ("a", "mechanisms")])
def test_a_model_for_a_level_that_the_recipe_does_not_have_is_refused(bilevel, base, level):
    done = bilevel("run", base, "--model", "inner=vllm:m", "--model", f"{level}=vllm:m", "--folder", "run")
    assert done.code == 2 and f"has no level {level!r}" in done.err


def test_one_address_does_not_get_the_keys_of_several_providers(serve, bilevel, recipe):
    serve()
    mine = recipe(default=model_of("compatible"), inner="vllm:m", base_url="http://127.0.0.1:9/v1")
    done = bilevel("run", mine, "--researcher", "llm", "--folder", "run")
    assert done.code == 2 and "keys of several providers" in done.err and "vllm" in done.err
    assert bilevel("status", "run").code == 2


@pytest.mark.slow
def test_a_key_in_a_mechanism_of_ones_own_is_not_stored(serve, bilevel, recipe, tmp_path):
    serve()
    rule = f'from bilevel.mechanism import Mechanism\n\n\nclass Rule(Mechanism):\n    domain = "{SECRET}"\n'
    rule += "\n    def advise(self, view, briefing):\n        return briefing.with_block('rule', 'go on')\n"
    Path("rule.py").write_text(rule)
    mine = recipe(default=model_of("compatible"), text='[inner]\nmechanisms = ["rule.py"]')
    done = bilevel("run", mine, "--researcher", "llm", "--folder", "run")
    assert done.code == 2 and "mechanism rule holds a key" in done.err and SECRET not in done.said


ASKS = """
from bilevel.mechanism import Mechanism


class Asks(Mechanism):
    def select(self, view, parent):
        first = view.trace.baseline
        view.ask("where from?", "place") if view.asks is not None else None
        return first.candidate if first is not None and first.score is not None and view.number % 2 else parent
"""


@pytest.mark.slow
def test_what_a_mechanism_asks_by_itself_is_counted_as_its_own(serve, bilevel):
    server = serve(says={"generate": f"```python{ASKS}```"})
    options = ("--inner-budget", "2", "--outer-cycles", "2", "--folder", "run")
    done = bilevel("run", "d", "--task", "sphere", "--model", model_of("compatible"), *options)
    assert done.code == 0, done.err
    mine = json.loads(bilevel("status", "run", "--json").out)["mechanisms"][0]
    asked = sum("where from?" in prompt for prompt in server.prompts("other"))
    assert mine["own_calls"] == asked > 0 and mine["calls"] == 4 and "calls of its own" in done.out
