"""A model server on loopback that answers at once, in OpenAI's chat format, and the clock of what asks it.

Every answer is an edit of one line of a program (model `edit`), or one parameter's new value (model `value`), and no
two are the same. The same edit is understood by bilevel and by OpenEvolve. `GET /mark` and the questions asked both
call `passed`, so a peer can be measured between two of them.
"""

import json
import random
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LINE = re.compile(r"^    return (\d\.\d+)$", re.MULTILINE)
PROGRAM = "def value():\n    return {number}\n"
FILE = "program.py"


class ModelStub:
    """Serves until it is closed. `passed` is called with 1, 2, 3 ... before each question or mark is answered."""

    def __init__(self, passed: Callable[[int], None]) -> None:
        self.passed, self.count, self._one = passed, 0, threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> int:
        with self._one:
            self.count += 1
            self.passed(self.count)
            return self.count

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body in one packet

            def do_GET(self) -> None:
                stub.next()
                self._send(b"ok")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._send(json.dumps(answer(body, stub.next())).encode())

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
    """The reply to the question of that number."""
    prompt = "\n".join(str(message["content"]) for message in body["messages"])
    text = value(number) if body["model"] == "value" else edit(prompt, number)
    return {
        "id": f"stub-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": len(prompt) // 4, "completion_tokens": 60, "total_tokens": len(prompt) // 4 + 60},
    }


def drawn(number: int) -> str:
    """A number in [0, 1) with 12 places, for each question another."""
    return f"{random.Random(number).random():.12f}"


def edit(prompt: str, number: int) -> str:
    """Another number in the last line of the prompt that returns one. A prompt without such a line is an error."""
    found = LINE.findall(prompt)
    if not found:
        raise ValueError(f"no line of the prompt returns a number:\n{prompt[-2000:]}")
    head = json.dumps({"why": f"idea {number}", "predicted_gain": 0.01, "changes": {}})
    block = f"<<<<<<< SEARCH\n    return {found[-1]}\n=======\n    return {drawn(number)}\n>>>>>>> REPLACE"
    return f"{head}\n\n{FILE}\n{block}\n"


def value(number: int) -> str:
    draft = {"why": f"idea {number}", "predicted_gain": 0.01, "changes": {"x": float(drawn(number))}}
    return json.dumps({"drafts": [draft]})
