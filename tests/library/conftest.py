"""The `bilevel` command in a home of its own, with the user library in it and packages on a path of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import in_process
import pytest
from mechanism_files import EXAMPLE, install


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder that holds everything of a user: the current folder is `work` in it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "site").mkdir()
    return tmp_path


@pytest.fixture
def work(home: Path) -> Path:
    return home / "work"


@pytest.fixture
def library(home: Path) -> Path:
    """Where the user library lies in that home."""
    return home / ".local" / "share" / "bilevel" / "mechanisms" if sys.platform != "darwin" else (
        home / "Library" / "Application Support" / "bilevel" / "mechanisms"
    )  # fmt: skip


@pytest.fixture
def bilevel(home: Path, work: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `bilevel ARGS`; `site` in the home is on the path of installed packages."""

    def run(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
        given = {"HOME": str(home), "COLUMNS": "160", **env}
        with pytest.MonkeyPatch.context() as patch:
            for name in {"BILEVEL_DATA", "XDG_DATA_HOME"} - set(env):
                patch.delenv(name, raising=False)
            return in_process.run(*args, cwd=work, env=given, path=(home / "site",))

    return run


@pytest.fixture
def bilevel_json(bilevel: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Any]:
    """Run `bilevel ARGS --json`; returns what it printed. The command must succeed."""

    def run(*args: object, **env: str) -> Any:
        done = bilevel(*args, "--json", **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def installed(home: Path) -> Path:
    """The example package, installed by its files and its .dist-info, as an installer lays them out."""
    install(home / "site", EXAMPLE / "bilevel_example_mechanisms")
    return home / "site"
