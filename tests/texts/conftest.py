"""The `bilevel` command, in this process and in a scratch folder."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import in_process
import pytest


@pytest.fixture
def bilevel(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
        return in_process.run(*args, cwd=tmp_path, env={"COLUMNS": "160", **env})

    return run
