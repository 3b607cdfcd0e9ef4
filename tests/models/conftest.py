"""Runs of `bilevel` in this process or one of its own, against servers on loopback."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "llm"))  # servers, wires

from asking import KEYS, SECRET
from researcher_server import ResearcherServer
from runs import fingerprints

from bilevel.llm.directory import all_providers

URLS = {
    "openai": "OPENAI_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL", "google": "GOOGLE_BASE_URL",
    "deepseek": "DEEPSEEK_BASE_URL", "glm": "GLM_BASE_URL", "minimax": "MINIMAX_BASE_URL",
    "compatible": "OPENAI_COMPATIBLE_BASE_URL",
}  # fmt: skip
FAST = {"backoff": 0.01, "patience": 20.0, "timeout": 20.0, "attempts": 3}


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the machine, no `.env` of a folder above, a folder of its own."""
    for provider in all_providers():
        for variable in (*provider.keys, *provider.urls):
            monkeypatch.delenv(variable, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    work = home / "work"
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(work)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ResearcherServer]]:
    """Start researcher servers, set as the provider's address and with a key; closed in the end."""
    servers: list[ResearcherServer] = []

    def start(style: str = "compatible", *, key: str = SECRET, **options: Any) -> ResearcherServer:
        server = ResearcherServer(style, **options)
        servers.append(server)
        monkeypatch.setenv(URLS[style], server.url)
        monkeypatch.setenv(KEYS[style], key)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def bilevel(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run `bilevel ARGS` in this process."""
    from bilevel.cli import main

    def run(*args: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
        code = 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
                main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        printed = capsys.readouterr()
        return Done(code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def bilevel_json(bilevel: Callable[..., Done]) -> Callable[..., Any]:
    """Run `bilevel ARGS --json`, which must succeed; returns what it printed."""

    def run(*args: object) -> Any:
        done = bilevel(*args, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return run


@dataclass(frozen=True)
class Clean:
    """What a run without any fault comes to, and what it asks."""

    fingerprints: list[str]
    bodies: list[str]


@pytest.fixture(scope="session")
def known() -> dict[tuple[object, ...], Clean]:
    """The runs without a fault that were made already, by their arguments."""
    return {}


@pytest.fixture
def clean(
    serve: Callable[..., ResearcherServer], bilevel: Callable[..., Done], known: dict[tuple[object, ...], Clean]
) -> Callable[..., Clean]:
    """What `bilevel run ARGS` comes to where nothing goes wrong."""

    def run(*args: object) -> Clean:
        if args not in known:
            server, folder = serve(), f"clean-{len(known)}"
            done = bilevel("run", *args, "--folder", folder)
            assert done.code == 0, done.err
            known[args] = Clean(fingerprints(folder), server.bodies)
        return known[args]

    return run


@pytest.fixture
def process() -> Callable[..., "subprocess.Popen[str]"]:
    """Start `bilevel ARGS` as a process of its own."""

    def start(*args: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "bilevel", *map(str, args)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)

    return start


@pytest.fixture
def recipe() -> Callable[..., str]:
    """Write a shipped recipe with a [models] table of its own; returns its path."""
    from importlib import resources

    def write(base: str = "a", name: str = "mine.toml", text: str = "", **models: Any) -> str:
        shipped = (resources.files("bilevel.catalog") / "recipes" / f"{base}.toml").read_text("utf-8")
        table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in {**FAST, **models}.items())
        Path(name).write_text(f"{shipped}\n[models]\n{table}\n{text}\n")
        return name

    return write
