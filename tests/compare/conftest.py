"""`bilevel ARGS` as a user types it, in this process."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bilevel.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


@pytest.fixture
def bilevel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run `bilevel ARGS` in a scratch folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*args: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
        return Done(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def compare(bilevel: Callable[..., Done]) -> Callable[..., Done]:
    """Run a small comparison on the sphere; options come instead of, or beside, its own."""

    def run(*options: object, arms: str = "a,static,random", task: str = "sphere", folder: str = "it") -> Done:
        small = {"--replicates": 3, "--budget": 8, "--folder": folder}
        given = [part for name, value in small.items() if name not in options for part in (name, value)]
        return bilevel("compare", "--arms", arms, "--task", task, *given, *options)

    return run
