"""Small repositories of different shapes, and the `bilevel` command run beside them as a person would."""

import hashlib
import json
import os
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import in_process
import pytest

OURS = (".bilevel", "runs")


def tree_hash(root: Path) -> str:
    """Every file and folder of a repository with its mode, link and bytes, but for what bilevel writes beside it."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        if inner.parts[0] in OURS:
            continue
        mode = path.lstat().st_mode
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        total.update(f"{inner}\0{mode:o}\0".encode() + hashlib.sha256(data).digest())
    return total.hexdigest()


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """Make a repository from texts by path; with `git` its files are added to one."""

    def make(files: Mapping[str, str], name: str = "theirs", git: bool = False) -> Path:
        root = tmp_path / name
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(textwrap.dedent(text).lstrip("\n"))
            if text.lstrip().startswith("#!"):
                (root / path).chmod(0o755)
        if git:
            for words in (["init", "-q"], ["add", "-A"]):
                subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
        return root

    return make


@pytest.fixture
def bilevel(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `bilevel ARGS` in a folder (a scratch one unless given); returns the finished process."""

    def run(*args: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        given = {"COLUMNS": "160", "BILEVEL_CACHE_DIR": str(tmp_path / "cache"), **env}
        return in_process.run(*args, cwd=cwd or tmp_path, env=given)

    return run


class Worked:
    """What a repository came to: the report of `init`, the summary of a run, and the task folder."""

    def __init__(self, report: Mapping[str, Any], summary: Mapping[str, Any], folder: Path) -> None:
        self.report, self.summary, self.folder = report, summary, folder
        self.task = (folder / "task.toml").read_text()
        self.brief = (folder / "brief.md").read_text()


@pytest.fixture
def works(tmp_path: Path, bilevel: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Worked]:
    """`bilevel init --yes`, `check`, `run --trials 16`: all succeed, and the repository is byte for byte as before."""

    def go(root: Path, *options: object, start: Path | None = None) -> Worked:
        before = tree_hash(root)
        done = bilevel("init", start or root, "--yes", "--json", *options)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        folder = Path(report["folder"])
        assert tree_hash(root) == before
        checked = bilevel("check", folder)
        assert checked.returncode == 0, checked.stdout
        ran = bilevel("run", "--task", folder, "--trials", 16, "--json", "--folder", tmp_path / "run")
        assert ran.returncode == 0, ran.stderr
        assert tree_hash(root) == before
        return Worked(report, json.loads(ran.stdout), folder)

    return go
