"""A real small model behind a real server, and the `bilevel` command that asks it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import llama_server
import pytest
from serving import SERVER, started

COMMAND_WITHIN = 900.0  # seconds


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the small model's server; skips where it is not installed."""
    lacking = llama_server.missing()
    if lacking:
        pytest.skip(f"no real model: {lacking}")
    server = started([sys.executable, str(SERVER)], tmp_path_factory.mktemp("server") / "log")
    yield f"{server.address}/v1"
    server.stop()


@pytest.fixture(scope="session")
def bilevel(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run `bilevel ARGS` in a folder of its own, with the model's server at `at`; returns the finished process."""
    folder = tmp_path_factory.mktemp("runs")

    def run(*args: object, at: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "bilevel", *map(str, args)],
            cwd=folder,
            env={**os.environ, "COLUMNS": "160", "LLAMACPP_BASE_URL": at, **env},
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN,
        )

    return run
