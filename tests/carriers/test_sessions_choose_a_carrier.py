"""Level 2 by a language model: it reads the record, chooses what carries its change, writes it, and mends it."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai")

from researcher_server import PLAN
from runs import model_of
from test_texts_found_and_kept import RIGHT, drafted

RECIPE = """
name = "session"
title = "a test"
task = "sphere:noise=0,crash=false"
[inner]
researcher = "llm"
lessons = false
[[outer]]
level = "mechanisms"
researcher = "llm"
carriers = {carriers}
start = "fork"
trials = 5
cycles = 3
repairs = {repairs}
proof_share = 0.0
[models]
default = {model}
backoff = 0.01
"""


def specified(prompt):
    """A skill where the record says that a prompt was of no use, else a prompt."""
    tried = "added prompt:polite" in prompt
    plan = {**PLAN, "hooks": [], "changes": "what the researcher tries first"}
    return {**plan, "carrier": "skill" if tried else "prompt", "name": "Downhill" if tried else "polite"}


def written(prompt):
    """A skill without its line at first; what had no effect is mended with the right words."""
    if "its skill" not in prompt:
        return f"```markdown\n{RIGHT if 'It had no say' in prompt else 'Be polite to everybody.'}\n```"
    if "Why it was refused" not in prompt:
        return f"```markdown\n{RIGHT}\n```"
    assert "a skill has a line `when:`" in prompt and RIGHT in prompt
    return f"Here it is:\n```markdown\n---\nwhen: stuck >= 1\n---\n{RIGHT}\n```"


@pytest.fixture
def ran(serve, bilevel, bilevel_json):
    def go(carriers=("code", "prompt", "skill"), repairs=0, says=None):
        server = serve(says={"draft": drafted, "specify": specified, "text": written, **(says or {})})
        model = json.dumps(model_of("compatible"))
        Path("session.toml").write_text(RECIPE.format(carriers=json.dumps(carriers), repairs=repairs, model=model))
        done = bilevel("run", "session.toml", "--folder", "run")
        assert done.code == 0, done.err
        return server, done, bilevel_json("status", "run")["mechanisms"]

    return go


@pytest.mark.slow
def test_a_session_chooses_a_carrier_by_the_record_and_mends_what_the_door_refused(ran, bilevel):
    server, _, (first, second) = ran()
    assert first["name"] == "prompt:polite" and not first["kept"] and first["reason"].startswith("inert")
    assert second["name"] == "skill:downhill" and second["kept"], second
    assert [climb["outcome"] for climb in second["refused"]] == ["refused"]
    explored, specify = server.prompts("explore")[0], server.prompts("specify")[0]
    for prompt in (explored, specify):
        assert "- skill: a text that the researcher is given when a condition holds" in prompt
        assert "- memory:" not in prompt and "- code: a rule in Python" in prompt
    text = server.prompts("text")[0]
    assert "its prompt" in text and "The researcher's own template inner_system" in text
    assert "You are the researcher of an automated search" in text and "added to the end" in text
    asked = len(server.bodies)
    server.close()
    replayed = bilevel("replay", "run")
    assert replayed.code == 0 and "byte for byte" in replayed.out and len(server.bodies) == asked


@pytest.mark.slow
def test_a_text_that_was_inert_is_written_again_before_anything_new_is_thought_of(ran):
    server, _, (first, second) = ran(repairs=1)
    assert (first["name"], second["name"]) == ("prompt:polite", "prompt:polite")
    assert not first["kept"] and second["kept"] and len(server.prompts("explore")) == 1


@pytest.mark.slow
def test_without_code_no_hooks_are_shown_and_a_carrier_that_is_not_there_is_sent_back(ran):
    def stubborn(prompt):
        again = "carrier must be one of prompt, skill" in prompt
        return specified(prompt) if again else {**specified(prompt), "carrier": "code"}

    server, _, found = ran(carriers=("prompt", "skill"), says={"specify": stubborn})
    assert [one["name"] for one in found] == ["prompt:polite", "skill:downhill"]
    assert all("class Mechanism:" not in prompt for prompt in server.prompts("explore", "specify"))


@pytest.mark.slow
def test_a_session_of_code_alone_is_asked_as_ever(ran):
    server, _, _ = ran(carriers=("code",), says={"specify": PLAN})
    asked = "\n".join(server.prompts("explore", "critique", "specify"))
    assert "may be made of here" not in asked and "carrier" not in asked
