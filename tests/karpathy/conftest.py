"""A user with a checkout of autoresearch, a run over it, and the command line."""

import json
import sys
import venv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from autoresearch_stub import fingerprint, make_checkout, make_home

from bilevel.overriding import override
from bilevel.recipe import find
from bilevel.run import start

for part in ("llm", "models"):  # servers, wires; the researcher behind HTTP
    sys.path.append(str(Path(__file__).parents[1] / part))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a package that no other interpreter has."""
    folder = tmp_path_factory.mktemp("environment") / ".venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "only_in_this_environment.py").write_text("")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The HOME of a user who has prepared the data."""
    return make_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def checkout(tmp_path: Path, home: Path, environment: Path) -> Path:
    """The user's checkout: two commits, an environment of its own, a table of earlier results."""
    return make_checkout(tmp_path / "autoresearch", environment)


@dataclass(frozen=True)
class Night:
    """A finished run that tests look at, its checkout, and the checkout's fingerprint from before."""

    folder: Path
    checkout: Path
    before: str


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Night:
    """A search by coordinates over a checkout, 14 trials."""
    folder = tmp_path_factory.mktemp("night")
    with pytest.MonkeyPatch.context() as patch:
        make_home(folder / "home", patch)
        checkout = make_checkout(folder / "autoresearch", environment)
        before = fingerprint(checkout)
        with start(override(find("a"), task=f"karpathy:{checkout}", trials=14), folder / "run") as session:
            session.execute()
    return Night(folder / "run", checkout, before)


@pytest.fixture
def bilevel(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run `bilevel ARGS` in this process, in a folder of its own; returns what it printed, and checks how it ended."""
    from bilevel.cli import main

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object, ends: int = 0) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
        code: object = 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
                main()
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        assert (code or 0) == ends, printed.out + printed.err
        return printed.out if ends == 0 else printed.err

    return run


@pytest.fixture
def bilevel_json(bilevel: Callable[..., str]) -> Callable[..., Any]:
    return lambda *args: json.loads(bilevel(*args, "--json"))
