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
    _told_without_a_model(bilevel, folder)


PLAIN = '''"""A further step: plain words, also where the steps before it gave nothing."""

from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Proposal


class Plain(Mechanism):
    domain = "editing"

    def propose(self, view, parent, proposals):
        text = {name: text.replace("It took us", "We needed") for name, text in parent.files.items()}
        plain = Candidate(parent.params, text)
        return (*proposals, Proposal(plain, "plain words")) if plain != parent else proposals
'''
CANARY = "xylophone"
INJECTED = f"""
name = "injected"
title = "a run with a step that is injected as code, beside a control without it"
task = "article"

[inner]
researcher = "workflow"
lessons = false
calibration = 1
keep = "greedy"

[inner.settings]
redrafts = 0
guidance = "Think of a {CANARY}."

[[outer]]
level = "mechanisms"
researcher = "library:only:PLAIN"
trials = 1
cycles = 2
start = "fork"

[claim]
on = false

[models]
most_tokens = 300
reasks = 0
timeout = 600
"""


def test_a_run_with_an_injected_step_has_a_ledger_a_blind_judge_and_replays(address, bilevel, tmp_path: Path):
    (tmp_path / "mine.md").write_text(TEXT)
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "injected.toml").write_text(INJECTED.replace("PLAIN", str(tmp_path / "plain.py")))
    folder = tmp_path / "run"
    args = ("--article", tmp_path / "mine.md", "--model", "llamacpp:small", "--folder", folder)
    done = bilevel("run", tmp_path / "injected.toml", *args, at=address)
    assert done.returncode == 0, done.stderr
    (trial,) = json.loads(bilevel("show", folder, "--mechanism", "plain", "--json", at=address).stdout)["trials"]
    assert trial["pairs"] == 1 and trial["ledger"]["propose"]["calls"] == 1
    decisive = trial["ledger"]["propose"]["decisive"]
    assert decisive == 1 or "inert" in trial["reason"]  # decisive where the model's own steps gave nothing
    calls = json.loads(bilevel("show", folder, "--calls", "--json", at=address).stdout)
    shown = {one["number"]: bilevel("show", folder, "--call", one["number"], at=address).stdout for one in calls}
    heard = {one["level"]: CANARY in shown[one["number"]] for one in calls}
    assert heard == {"inner": True, "judge": False}
    assert any("We needed" in shown[one["number"]] for one in calls if one["level"] == "judge") == bool(decisive)
    _told_without_a_model(bilevel, folder)


def _told_without_a_model(bilevel, folder):
    """The run is rebuilt byte for byte and computed again, and the steps of its workflow have a ledger."""
    nowhere = "http://127.0.0.1:9/v1"
    replayed = bilevel("replay", folder, at=nowhere)
    assert replayed.returncode == 0 and "byte for byte" in replayed.stdout, replayed.stderr
    verified = bilevel("verify", folder, at=nowhere)
    assert verified.returncode == 0, verified.stdout
    steps = json.loads(bilevel("status", folder, "--json", at=nowhere).stdout)["steps"]
    assert steps["analysis"]["asked"] >= 1
