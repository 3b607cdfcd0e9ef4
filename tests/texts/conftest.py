"""The `bilevel` command, in this process and in a scratch folder; and a model behind HTTP that revises and judges."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import in_process
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "llm"))  # servers, wires

from article_server import ArticleServer


@pytest.fixture
def bilevel(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
        return in_process.run(*args, cwd=tmp_path, env={"COLUMNS": "160", **env})

    return run


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., ArticleServer]]:
    """Start article servers, set as the address of provider `compatible`; closed in the end."""
    servers: list[ArticleServer] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(**says: Any) -> ArticleServer:
        servers.append(ArticleServer(says))
        monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", servers[-1].url)
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-test-0123456789-abcdefghij")
        return servers[-1]

    yield start
    for server in servers:
        server.close()
