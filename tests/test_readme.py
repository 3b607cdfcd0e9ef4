"""What the README tells a reader to do works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SCRIPT = """LEARNING_RATE = 0.1
STEPS = 2**4
loss = (LEARNING_RATE - 0.01) ** 2 + 1 / STEPS
print(f"loss: {loss}")
"""


@pytest.mark.slow
def test_a_script_becomes_a_task_and_is_improved(tmp_path):
    task = tmp_path / "mytask"
    (task / "start").mkdir(parents=True)
    (task / "start" / "train.py").write_text(SCRIPT)
    (task / "brief.md").write_text("Lower the loss.\n")
    (task / "task.toml").write_text(re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1])
    (commands,) = re.findall(r"```\n(bilevel check mytask.*?)```", README, re.DOTALL)
    for line in commands.splitlines():
        words = line.split("#")[0].split()
        done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        if line.startswith("bilevel run"):
            assert "isolation: runs have their own process" in done.stdout
    assert "(self-reported)" in subprocess.run(
        [sys.executable, "-m", "bilevel", "status", "runs/default-mytask-1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    improved = (tmp_path / "improved" / "train.py").read_text()
    assert "LEARNING_RATE = 0.1\n" not in improved and "STEPS = 2**4" in improved
    assert (task / "start" / "train.py").read_text() == SCRIPT


def test_the_commands_of_the_readme_exist():
    commands = (
        "init|run|resume|replay|models|status|show|diff|best|suggest|propose|record|export|import|check|doctor|demo"
    )
    named = set(re.findall(rf"`(?:bilevel )?({commands})\b", README))
    helped = subprocess.run(
        [sys.executable, "-m", "bilevel", "--help"], capture_output=True, text=True, timeout=60
    ).stdout
    assert len(named) == len(commands.split("|")) and all(name in helped for name in named)


def test_links_of_the_docs_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page, target)


def test_the_python_example_runs(tmp_path):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "'depth': 3" in done.stdout and "gain" in done.stdout


def test_the_mechanism_of_the_docs_passes_the_door_and_runs(tmp_path):
    source = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "mechanisms.md").read_text("utf-8"), re.DOTALL)[1]
    (tmp_path / "no_repeats.py").write_text(source)
    (tmp_path / "mine.toml").write_text('name = "mine"\ntitle = "x"\n[inner]\nmechanisms = ["no_repeats.py"]\n')
    command = [sys.executable, "-m", "bilevel", "run", "mine.toml", "--task", "sphere", "--researcher", "random"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^propose +\d+ +[1-9]\d* +[1-9]\d* +0$", done.stdout, re.MULTILINE), done.stdout
