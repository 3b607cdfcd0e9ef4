"""The worked example of docs/agents.md, done as it says; and its table, as the program has it."""

import re
import shlex
from pathlib import Path

import pytest

from bilevel.agents import PRESETS

DOC = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")


@pytest.mark.slow
def test_the_worked_example_works(bilevel, bilevel_json, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    example = DOC.split("## A worked example")[1].split("\n## ")[0]
    for path, text in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", example, re.DOTALL | re.MULTILINE):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    commands = re.findall(r"^bilevel (.*)$", example, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["run", "diff", "show", "replay"]
    done = {command.split()[0]: bilevel(*shlex.split(command)) for command in commands}
    assert all(command.code == 0 for command in done.values()), [command.err for command in done.values()]
    assert [trial["score"] for trial in bilevel_json("show", "run")] == [8.0, 4.0, 2.0, 1.0]
    assert "+    return 1.0" in done["diff"].out and "agent:my_agent.py" in done["show"].out
    assert "byte for byte" in done["replay"].out


def test_the_table_is_the_one_of_the_program():
    rows = [line for line in DOC.splitlines() if line.startswith("| `") and not line.startswith("| `--agent`")]
    for preset in PRESETS.values():
        row = next(row for row in rows if row.startswith(f"| `{preset.name}` |"))
        assert f"| `{preset.command}` |" in row and preset.edits in row
        assert all(f"`{name}`" in row for name in preset.passed)
    assert len(rows) == len(PRESETS)
