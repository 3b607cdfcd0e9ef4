"""Every command of the tutorial, and of the page on mechanisms, prints what stands there."""

import re
import subprocess
import sys
from pathlib import Path

import in_process
import pytest

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"`([\w/]+\.(?:py|toml))`:\n\n```\w+\n(.*?)```", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands(text):
    """The commands of a page with the lines that they print."""
    found = []
    for block in CONSOLE.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def pattern(lines):
    """What a command must print: `...` alone is any lines, and in a line `…` is any text."""
    parts = []
    for line in lines:
        if line == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n")
    return re.compile("".join(parts))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "least"), [("tutorial.md", 12), ("how-to/write-a-mechanism.md", 3)])
def test_the_commands_of_a_page_print_what_it_says(page, least, tmp_path, monkeypatch):
    text = (DOCS / page).read_text("utf-8")
    monkeypatch.setenv("BILEVEL_DATA", str(tmp_path / "data"))
    for name, content in FILE.findall(text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    found = commands(text)
    assert len(found) >= least
    for command, lines in found:
        program, *words = command.split()
        if program == "bilevel":
            done = in_process.run(*words, cwd=tmp_path, env={"COLUMNS": "110"})
        else:
            assert program == "python"
            done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        expected = pattern(lines)
        said = "\n".join(["--- the page", *lines, "--- printed", done.stdout])
        assert expected.fullmatch(done.stdout), f"{command}\n{said}"


@pytest.mark.parametrize(
    ("lines", "printed", "fits"),
    [
        (["a"], "a\n", True),
        (["a"], "a\nb\n", False),
        (["a", "..."], "a\nb\n", True),
        (["...", "b"], "a\nb\n", True),
        (["a … c"], "a b c\n", True),
        (["a"], "b\n", False),
        ([], "", True),
        ([], "a\n", False),
        (["1.5"], "1x5\n", False),
    ],
)
def test_what_is_compared(lines, printed, fits):
    assert bool(pattern(lines).fullmatch(printed)) is fits
