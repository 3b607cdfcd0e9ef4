"""A stand-in checkout of autoresearch, searched at three levels by a real small model, and not touched until asked."""

import sys
import venv
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai", reason="language models need the extra 'llm'")
sys.path.append(str(Path(__file__).parents[1] / "karpathy"))

from autoresearch_stub import fingerprint, git, make_checkout, make_home

pytestmark = pytest.mark.slow

RECIPE = """
name = "night"
title = "a small model searches somebody's checkout at three levels"

[inner]
researcher = "llm"
lessons = false

[inner.settings]
redrafts = 0
repairs = 0

[[outer]]
level = "settings"
researcher = "llm"
trials = 2
redrafts = 0

[[outer]]
level = "mechanisms"
researcher = "llm"
trials = 2
cycles = 2
start = "fork"
redrafts = 0

[models]
default = "llamacpp:smollm2"
prompt_tokens = 1200
most_tokens = 320
reasks = 1
timeout = 120
patience = 60
attempts = 2
"""


def test_three_levels_of_a_real_model_leave_the_checkout_as_it_was_until_best_is_applied(
    bilevel, address, tmp_path, monkeypatch
):
    home = make_home(tmp_path / "home", monkeypatch)
    venv.create(tmp_path / "environment" / ".venv", with_pip=False, symlinks=True)
    (packages,) = (tmp_path / "environment").glob(".venv/lib/python*/site-packages")
    (packages / "only_in_this_environment.py").write_text("")
    checkout = make_checkout(tmp_path / "autoresearch", tmp_path / "environment" / ".venv")
    before = fingerprint(checkout)
    recipe, run = tmp_path / "night.toml", tmp_path / "run"
    recipe.write_text(RECIPE)

    def command(*args):
        done = bilevel(*args, at=address, HOME=str(home))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = command("run", recipe, "--task", f"karpathy:{checkout}", "--folder", run)
    assert "written in" in said and "llamacpp" in said
    calls = command("show", run, "--calls")
    assert all(level in calls for level in ("inner", "settings", "mechanisms"))
    command("replay", run)
    command("export", run, "--git", tmp_path / "git", "--tag", "night")
    assert (tmp_path / "git" / "results.tsv").read_text().startswith("commit\tval_bpb\tmemory_gb\tstatus\tdescription")
    assert git(tmp_path / "git", "rev-parse", "--abbrev-ref", "HEAD").strip() == "autoresearch/night"
    assert fingerprint(checkout) == before
    command("best", run, "--apply", checkout)
