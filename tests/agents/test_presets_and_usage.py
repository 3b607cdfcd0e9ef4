"""Agents by name: their command lines, the keys that they get, and what their output says of their cost."""

import json
import os
import sys
from pathlib import Path

import pytest
from conftest import SCRIPT
from hypothesis import given
from hypothesis import strategies as st

from bilevel.agents import PRESETS, agent, located, name_of, variables
from bilevel.agents.usage import Usage, usage_in
from bilevel.call import Message, Request, Watch
from bilevel.codec import canonical
from bilevel.errors import InputError

KEYS = {
    "claude": ["ANTHROPIC_API_KEY"], "codex": ["OPENAI_API_KEY"], "gemini": ["GEMINI_API_KEY"], "aider": [],
    "opencode": [],
}  # fmt: skip


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A program of each preset's name on the PATH, which shows what it was given; and many keys in the environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PRESETS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {SCRIPT} fakes {name} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY", "OTHER_TOKEN"):
        monkeypatch.setenv(name, f"value-of-{name}")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_runs_its_program_with_the_briefing_and_its_own_keys_only(installed, agent_model, name):
    model = agent_model(name, None, **variables(agent(name), ()))
    model.check()
    start = canonical({"params": {"SLOPE": 3.0, "SEED": 7}, "files": {}})
    reply = model.complete(Request((Message("user", "Do."), Message("user", start))), 0, Watch())
    assert reply.model == f"agent:{name}"
    line = json.loads(reply.text)["files"]["parts/shape.py"].splitlines()[0]
    facts = json.loads(line.removeprefix("FACTS = '").removesuffix("'"))
    assert facts["names"] == KEYS[name]
    assert facts["words"][0] == name
    assert any(word.startswith("Read the file BRIEFING.md") or word == "BRIEFING.md" for word in facts["words"])


def test_a_command_line_of_a_known_program_gets_its_keys(installed):
    chosen = agent("claude -p {prompt} --model opus")
    assert chosen.name == "agent:claude" and variables(chosen, ()) == {
        "ANTHROPIC_API_KEY": "value-of-ANTHROPIC_API_KEY"
    }
    assert variables(agent("mine {prompt}"), ()) == {}
    assert variables(agent("mine {prompt}"), ("OTHER_TOKEN", "NOT_SET")) == {"OTHER_TOKEN": "value-of-OTHER_TOKEN"}


def test_a_login_may_stand_for_a_key():
    given = {"HOME": "/somewhere"}
    assert variables(agent("claude"), ("HOME",), given.get) == given
    with pytest.raises(InputError, match="no key: set ANTHROPIC_API_KEY or"):
        variables(agent("claude"), (), given.get)
    with pytest.raises(InputError, match="'a b' is not the name"):
        variables(agent("aider"), ("a b",))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("claude", "agent:claude"), ("command:claude -p {prompt}", "agent:claude"), ("./bin/mine --x", "agent:mine"),
        ("{python} tools/agent.py {prompt}", "agent:agent.py"), ("python3 -u x.py", "agent:x.py"),
        ("a;b c", "agent:ab"),
    ],
)  # fmt: skip
def test_an_agent_is_named_after_its_program(text, name):
    assert name_of(text) == agent(text).name == name


def test_each_place_stays_one_word():
    prompt = "two words; $(rm) 'quoted' {briefing}"
    command = agent("mine --say={prompt} {briefing} {python}").command(prompt, "B.md")
    assert command == ["mine", f"--say={prompt}", "B.md", sys.executable]


def test_paths_of_a_command_line_are_made_absolute(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "my agent.py").write_text("")
    (tmp_path / "file").write_text("")
    text = located("{python} 'tools/my agent.py' file {prompt} no/such /usr/bin", tmp_path)
    script = Path(tmp_path, "tools", "my agent.py").resolve()
    assert agent(text).words == ("{python}", str(script), "file", "{prompt}", "no/such", "/usr/bin")
    assert located(text, tmp_path / "tools") == text and located("claude", tmp_path) == "claude"


# ---- usage ----

CLAUDE = {
    "type": "result", "subtype": "success", "is_error": False, "result": "Done.", "total_cost_usd": 0.125,
    "usage": {"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
              "output_tokens": 40, "service_tier": "standard"},
}  # fmt: skip
CODEX = [
    {"type": "thread.started", "thread_id": "0"},
    {"type": "item.completed", "item": {"id": "item_0", "type": "reasoning", "text": "Hm."}},
    {"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": "Done."}},
    {"type": "turn.completed", "usage": {"input_tokens": 900, "cached_input_tokens": 800, "output_tokens": 30}},
]
GEMINI = {
    "response": "Done.",
    "stats": {"models": {"pro": {"tokens": {"prompt": 100, "candidates": 5, "thoughts": 15, "total": 120}},
                         "flash": {"tokens": {"prompt": 10, "candidates": 2}}}},
}  # fmt: skip
OPENCODE = [
    {"type": "step_start", "part": {"type": "step-start"}},
    {"type": "text", "part": {"type": "text", "text": "Done."}},
    {"type": "step_finish", "part": {"type": "step-finish", "cost": 0.5, "tokens": {
        "input": 50, "output": 6, "reasoning": 4, "cache": {"read": 7, "write": 3}}}},
    {"type": "step_finish", "part": {"type": "step-finish", "cost": 0.25, "tokens": {"input": 1, "output": 1}}},
]  # fmt: skip


def lines(events):
    return "\n".join(map(json.dumps, events)) + "\n"


@pytest.mark.parametrize(
    ("output", "usage"),
    [
        (json.dumps(CLAUDE), Usage(3210, 40, 0.125, "Done.")),
        (json.dumps(CLAUDE, indent=2), Usage(3210, 40, 0.125, "Done.")),
        ("a warning\n" + json.dumps(CLAUDE) + "\n", Usage(3210, 40, 0.125, "Done.")),
        (lines(CODEX), Usage(900, 30, None, "Done.")),
        (json.dumps(GEMINI, indent=2), Usage(110, 22, None, "Done.")),
        ("Loaded cached credentials.\n" + json.dumps(GEMINI, indent=2), Usage(110, 22, None, "Done.")),
        (lines(OPENCODE), Usage(61, 11, 0.75, "Done.")),
        ("Tokens: 2.3k sent", Usage()),
        ('{"type": "result", "usage": 5}', Usage()),
        ("", Usage()),
    ],
)
def test_usage_is_read_in_each_form(output, usage):
    assert usage_in(output) == usage


@pytest.mark.slow
@given(st.text() | st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
       | st.dictionaries(st.sampled_from(["type", "usage", "part", "item", "stats", "models", "tokens", "cost", "text"])
                         | st.text(), inner)).map(json.dumps))  # fmt: skip
def test_whatever_is_printed_usage_is_a_number_that_can_be(output):
    usage = usage_in(output)
    assert usage.tokens_in >= 0 and usage.tokens_out >= 0 and (usage.money is None or 0 <= usage.money <= 1e6)
