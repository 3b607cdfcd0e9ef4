"""The `bilevel` command as a user runs it: a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bilevel(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `bilevel ARGS` in a scratch folder; returns the finished process."""

    def run(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bilevel", *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "160", **env},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def bilevel_json(bilevel: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Any]:
    """Run `bilevel ARGS --json`; returns what it printed. The command must succeed."""

    def run(*args: object) -> Any:
        done = bilevel(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
