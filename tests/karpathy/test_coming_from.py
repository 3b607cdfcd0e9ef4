"""Every command on the right-hand side of docs/coming-from.md runs, on a stand-in checkout and a stand-in server."""

import json
import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai", reason="language models need the extra 'llm'")

from autoresearch_stub import fingerprint
from researcher_server import ResearcherServer

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text("utf-8")


def commands():
    """The commands of the right column of the first table, in order."""
    table = PAGE.split("### Training")[1].split("What differs")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return [text for row in rows for text in re.findall(r"`(bilevel [^`]+)`", row[-1])]


@pytest.mark.slow
def test_every_command_runs_and_the_checkout_stays_as_it_was(checkout, bilevel, monkeypatch):
    monkeypatch.setenv("AUTORESEARCH_DIR", str(checkout))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    before = fingerprint(checkout)
    folders, done = [], []
    with ResearcherServer("deepseek") as deepseek, ResearcherServer("minimax") as minimax:
        for name, server in (("DEEPSEEK", deepseek), ("MINIMAX", minimax)):
            monkeypatch.setenv(f"{name}_BASE_URL", server.url)
            monkeypatch.setenv(f"{name}_API_KEY", "a-key-for-tests")
        for command in commands():
            words = shlex.split(command)[1:]
            if words[0] == "run" and "--task" not in words:
                continue  # a list of recipes
            if words[0] == "run":
                folders.append(f"run{len(folders)}")
                words += ["--folder", folders[-1]]
            elif "RUN" in words:
                words[words.index("RUN")] = folders[2]  # the one with mechanism sessions
            if "NAME" in words:
                summary = json.loads(bilevel("status", folders[2], "--json"))
                words[words.index("NAME")] = summary["mechanisms"][0]["name"]
            bilevel(*words)
            done.append(words[0])
    assert len(folders) == 6 and {"status", "resume", "show", "check"} <= set(done)
    assert deepseek.prompts("draft") and minimax.prompts("draft") and deepseek.prompts("generate")
    assert fingerprint(checkout) == before
