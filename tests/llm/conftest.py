"""Scripted servers, and models that are connected to them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asking import Asking, full_name, keys_for
from servers import ScriptedServer

from bilevel.llm import ModelOptions, connect


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Make scripted servers that are closed in the end."""
    servers: list[ScriptedServer] = []

    def start(style: str, replies: Any = ("ok",)) -> ScriptedServer:
        servers.append(ScriptedServer(style, replies))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def asking(serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asking]:
    """A model of a style whose server gives these replies; no wait between attempts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def make(style: str, *replies: Any, script: Any = None, name: str = "", **options: Any) -> Asking:
        server = serve(style, script or replies or ("ok",))
        chosen = ModelOptions(**{"base_url": server.url, "backoff": 0.0, "timeout": 20.0, **options})
        return Asking(connect(name or full_name(style), chosen, keys_for(style)), server)

    return make
