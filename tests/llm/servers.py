"""A scripted model server on loopback that speaks one provider's wire format and remembers what it was asked."""

import json
import select
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from wires import answer

Scripted = str | Mapping[str, Any]  # an answer's text, or dict(status=, headers=, body=) or dict(hang=True)


@dataclass(frozen=True)
class Asked:
    """One request that arrived. Header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    prompt: str


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # so that many clients at once need not knock twice


class ScriptedServer:
    """Answers in the wire format of `style` (see `wires.STYLES`).

    `replies` is a list, served in order, the last one again and again; or a function of the prompt's text and the
    request's body. A reply is the text of an answer, or `dict(status=200, headers={}, body=dict or str)`, or
    `dict(hang=True)`: no answer until the server is closed. Use it as a context manager, or call `close`.
    """

    def __init__(
        self, style: str, replies: Sequence[Scripted] | Callable[[str, Mapping[str, Any]], Scripted] = ("ok",)
    ) -> None:
        self.style = style
        self.replies = replies
        self.requests: list[Asked] = []
        self.hung_up = threading.Event()  # a client went away before it was answered
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The base URL as a user would write it for this provider."""
        return self.root if self.style in ("anthropic", "google") else f"{self.root}/v1"

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "ScriptedServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def serve(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What to send, None to close without an answer."""
        prompt = prompt_of(body)
        with self._lock:
            number = len(self.requests)
            self.requests.append(Asked(path, headers, body, prompt))
        if callable(self.replies):
            reply = self.replies(prompt, body)
        else:
            reply = self.replies[min(number, len(self.replies) - 1)]
        if isinstance(reply, str):
            return {"body": answer(self.style, reply)}
        return None if reply.get("hang") else reply

    def hang(self, connection: socket.socket) -> None:
        """Answer nothing until this server is closed, or the client goes away."""
        while not self._closed.is_set():
            readable, _, _ = select.select([connection], [], [], 0.01)
            if readable and not connection.recv(1, socket.MSG_PEEK):
                self.hung_up.set()
                return


def prompt_of(body: Mapping[str, Any]) -> str:
    """All text that a request holds for the model, whatever the format: system first, then the turns."""
    parts = [
        body.get(name) for name in ("system", "systemInstruction", "instructions", "messages", "contents", "input")
    ]
    return "\n".join(text for part in parts for text in _texts(part))


def _texts(part: Any) -> list[str]:
    if isinstance(part, str):
        return [part]
    if isinstance(part, list):
        return [text for item in part for text in _texts(item)]
    if isinstance(part, Mapping):
        return [text for name in ("content", "parts", "text") for text in _texts(part.get(name))]
    return []


def _handler(owner: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = owner.serve(self.path, headers, json.loads(raw or b"{}"))
            if reply is None:
                owner.hang(self.connection)
                return
            body = reply.get("body", "")
            sent = body if isinstance(body, str) else json.dumps(body)
            self.send_response(reply.get("status", 200))
            for name, value in {"Content-Type": "application/json", **reply.get("headers", {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent.encode())))
            self.end_headers()
            self.wfile.write(sent.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
