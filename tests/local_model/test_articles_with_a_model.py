"""An article with a real model: it judges, the gates refuse what its steps cannot do, the run is rebuilt without it.

The model is very small: nothing here asserts that a text gets better.
"""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TEXT = """# Backups

Backups matter, and everyone knows that. Few people test theirs.

We lost a disk in 2019. It took us 3 days to restore it.
"""
RECIPE = """
name = "small"
title = "a small model judges an article and tries to revise it"
task = "article"

[inner]
researcher = "workflow"

[inner.settings]
redrafts = 0

[models]
most_tokens = 400
reasks = 1
timeout = 120
"""


def test_one_pass_over_an_article_is_judged_and_replays(address, bilevel, tmp_path: Path):
    (tmp_path / "mine.md").write_text(TEXT)
    (tmp_path / "small.toml").write_text(RECIPE)
    folder = tmp_path / "run"
    args = ("--article", tmp_path / "mine.md", "--model", "llamacpp:small", "--folder", folder)
    done = bilevel("once", tmp_path / "small.toml", *args, at=address)
    assert done.returncode == 0, done.stderr
    baseline, first = json.loads(bilevel("show", folder, "--json", at=address).stdout)
    assert 1 <= baseline["score"] <= 10
    assert first["status"] in ("ok", "refused", "guardrail")
    calls = json.loads(bilevel("show", folder, "--calls", "--json", at=address).stdout)
    levels = [call["level"] for call in calls]
    assert "judge" in levels and "inner" in levels
    replayed = bilevel("replay", folder, at="http://127.0.0.1:9/v1")
    assert replayed.returncode == 0, replayed.stderr
