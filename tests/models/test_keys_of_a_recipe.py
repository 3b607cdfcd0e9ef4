"""Each key of a recipe that is about models has its effect on what is asked."""

from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from runs import model_of

from bilevel.llm import Prices
from bilevel.models import connected
from bilevel.recipe import find
from bilevel.wiring import build

MODEL = model_of("compatible")
HEAD = 'name = "mine"\ntitle = "mine"\n'


def written(inner="", outer="", models="", settings=""):
    """A recipe whose researchers are models; returns its path."""
    level = (
        f'[[outer]]\nlevel = "mechanisms"\nresearcher = "llm"\nstart = "fork"\ntrials = 2\n{outer}\n' if outer else ""
    )
    text = (
        f'{HEAD}[inner]\nresearcher = "llm"\n{inner}\n[inner.settings]\n{settings}\n{level}'
        f'[models]\ndefault = "{MODEL}"\nbackoff = 0.01\n{models}\n'
    )
    Path("mine.toml").write_text(text)
    return "mine.toml"


@pytest.fixture
def run(serve, bilevel):
    """Run a recipe on the sphere; returns its server."""

    def go(*, says=None, **parts):
        server = serve(says=says)
        done = bilevel("run", written(**parts), "--task", "sphere", "--folder", "run")
        assert done.code == 0, done.err
        return server

    return go


def test_temperature_and_the_bound_of_an_answer(run):
    server = run(inner="trials = 2", models="temperature = 0.25\nmost_tokens = 777")
    assert {(asked.body["temperature"], asked.body["max_tokens"]) for asked in server.requests} == {(0.25, 777)}


@pytest.mark.parametrize("most", [500, 12_000])
def test_the_bound_of_a_prompt(run, most):
    last = run(inner="trials = 16\nlessons = false", models=f"prompt_tokens = {most}").prompts("draft")[-1]
    assert ("left out for length" in last) == (most == 500)


@pytest.mark.parametrize("reasks", [0, 2])
def test_how_often_an_answer_is_asked_for_again(run, reasks):
    server = run(inner="trials = 1", settings="redrafts = 0", models=f"reasks = {reasks}", says={"draft": "no"})
    assert server.roles == ["draft"] * (1 + reasks)


def test_how_often_a_model_is_asked_again_for_a_trial(run):
    server = run(inner="trials = 1", settings="redrafts = 3", models="reasks = 0", says={"draft": "no"})
    assert server.roles == ["draft"] * 4


def test_lessons_and_their_cycle(run):
    assert run(inner="trials = 5\nlessons_every = 2").roles.count("lessons") == 2


def test_no_lessons(run):
    assert set(run(inner="trials = 5\nlessons_every = 2\nlessons = false").roles) == {"draft"}


def test_drafts_and_a_model_that_picks(run):
    drafts = '{"drafts": [{"changes": {"x0": 1.5}}, {"changes": {"x0": 2.5}}]}'
    server = run(inner="trials = 1", settings='drafts = 2\npicker = "model"', says={"draft": drafts})
    assert server.roles == ["draft", "pick"] and "2 drafts, each with a different idea" in server.prompts("draft")[0]


def test_guidance_and_the_history_window(run):
    server = run(inner="trials = 4", settings='guidance = "Look at the left."\nhistory_window = 1')
    last = server.prompts("draft")[-1]
    assert "Look at the left." in last and "Only the last 1 trials are shown." in last


ADVISES = """
from bilevel.mechanism import Mechanism


class Advises(Mechanism):
    def advise(self, view, briefing):
        return briefing.with_block("advises", f"This is trial {view.number}.")
"""


@pytest.mark.parametrize(("shadow", "asked"), [(0.0, 3), (1.0, 9)])
def test_a_shadow_ask_for_each_mechanism_that_advises_and_one_for_the_noise(run, shadow, asked):
    Path("advises.py").write_text(ADVISES)
    server = run(
        inner=f'trials = 3\nlessons = false\nmechanisms = ["advises.py"]\nshadow = {shadow}', settings="redrafts = 0"
    )
    assert len(server.roles) == asked


def test_fields_of_knowledge_for_a_session(run):
    server = run(outer='cycles = 2\ndomains = ["ecology", "chess"]')
    assert "Look in these fields: ecology, chess." in server.prompts("explore")[0]


@pytest.mark.parametrize("redrafts", [0, 2])
def test_how_often_what_the_door_refuses_is_mended(run, redrafts):
    broken = (
        "```python\nimport os\nfrom bilevel.mechanism import Mechanism\n\n\nclass M(Mechanism):\n    pass  # {}\n```"
    )
    turns = iter(range(99))
    says = {role: lambda prompt: broken.format(next(turns)) for role in ("generate", "repair")}
    server = run(outer=f"cycles = 2\nredrafts = {redrafts}", says=says)
    assert (server.roles.count("generate"), server.roles.count("repair")) == (1, redrafts)


WAITS = """```python
from bilevel.mechanism import Mechanism


class Waits(Mechanism):
    def select(self, view, parent):
        return parent if view.number < {} else view.trace.baseline.candidate
```"""


@pytest.mark.slow
@pytest.mark.parametrize("repairs", [0, 1])
def test_how_often_an_inert_mechanism_goes_back(run, repairs):
    turns = iter(range(500, 599))
    says = {role: lambda prompt: WAITS.format(next(turns)) for role in ("generate", "inert", "repair")}
    live = f'cycles = 3\nrepairs = {repairs}\nladder = ["door"]'  # the replay would send it back before its trial
    assert run(outer=live, says=says).roles.count("inert") == repairs


@pytest.mark.slow
def test_a_mechanism_that_the_replay_finds_inert_is_mended_before_its_trial(run):
    turns = iter(range(500, 599))
    says = {role: lambda prompt: WAITS.format(next(turns)) for role in ("generate", "inert", "repair")}
    server = run(outer="cycles = 2\nredrafts = 2", says=says)
    assert (server.roles.count("generate"), server.roles.count("repair"), server.roles.count("inert")) == (1, 2, 0)
    assert "no decision would have been another" in server.prompts("repair")[0]


def test_how_a_model_is_asked():
    recipe = find(
        written(
            models='base_url = "http://127.0.0.1:9/v1"\noutput_mode = "prompted"\nthinking = "low"\ntimeout = 7.0\n'
            "patience = 8.0\nattempts = 9\nprice_in = 1.0\nprice_out = 2.0"
        )
    )
    models, _ = connected(recipe, build(recipe))
    asked = models["inner"].options
    assert (asked.base_url, asked.output_mode, asked.thinking) == ("http://127.0.0.1:9/v1", "prompted", "low")
    assert (asked.timeout, asked.patience, asked.attempts, asked.backoff) == (7.0, 8.0, 9, 0.01)
    assert asked.prices == Prices(1.0, 2.0)
