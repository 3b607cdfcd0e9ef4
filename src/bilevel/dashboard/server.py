"""The server of the pages: loopback only, nothing that a page could load from elsewhere; it reads, and takes acts for a
run only with the token that its start printed.

It is the standard library's server: pages for one person's browser need no more, and the program no further package.
"""

import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from bilevel.compare.style import PAPER, RUN, STYLE
from bilevel.dashboard.frame import Page, document, nothing
from bilevel.dashboard.hand import FORM, MOST, barred, take
from bilevel.dashboard.shelf import Shelf
from bilevel.dashboard.views.claims import claims
from bilevel.dashboard.views.costs import costs
from bilevel.dashboard.views.home import home, together
from bilevel.dashboard.views.lineage import lineage
from bilevel.dashboard.views.mechanisms import mechanism, mechanisms
from bilevel.dashboard.views.objectives import objectives
from bilevel.dashboard.views.overview import overview
from bilevel.dashboard.views.parameters import parameters
from bilevel.dashboard.views.sessions import call, sessions
from bilevel.dashboard.views.steering import steering
from bilevel.dashboard.views.timeline import timeline
from bilevel.dashboard.views.trials import trial, trials
from bilevel.dashboard.watched import Watched
from bilevel.errors import BilevelError, InputError

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")  # by which a browser may call it: another name is another site's trick
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STATIC = {
    "/dashboard.css": "text/css; charset=utf-8",
    "/dashboard.js": "text/javascript; charset=utf-8",
    "/favicon.svg": "image/svg+xml",
}
BEAT = 15.0  # seconds between two signs of life to a browser that waits
SPACING = 0.25  # seconds between two pieces of news
MOST_WAITING = 64  # browsers' pages that wait for news at once

View = Callable[[Watched, Mapping[str, str]], Page]
VIEWS: Mapping[str, View] = {
    "": overview,
    "trials": trials,
    "timeline": timeline,
    "lineage": lineage,
    "parameters": parameters,
    "mechanisms": mechanisms,
    "mechanism": mechanism,
    "calls": sessions,
    "costs": costs,
    "steering": steering,
    "claims": claims,
    "objectives": objectives,
}
SINGLE: Mapping[str, Callable[[Watched, Mapping[str, str], str], Page]] = {"trial": trial, "call": call}


class Dashboard:
    """A server that is listening; `address` is where. Raises InputError where the port is taken.

    `token`: what a page must know to steer a run; empty: nobody steers from here.
    """

    def __init__(self, shelf: Shelf, port: int, token: str = "") -> None:
        self.shelf, self.token = shelf, token
        self.end = threading.Event()
        self.waiting = threading.Semaphore(MOST_WAITING)
        dashboard = self

        class Answering(Handler):
            board = dashboard

        try:
            self._server = _Server((HOST, port), Answering)
        except OSError as error:
            raise InputError(f"port {port} cannot be used: {error.strerror}; choose another one with --port") from error
        self.address = f"http://{HOST}:{self._server.server_address[1]}/"

    def serve(self) -> None:
        """Answer until `close` is called in another thread, or Ctrl-C."""
        threading.Thread(target=self.shelf.watch, args=(self.end,), name="news", daemon=True).start()
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self.end.set()
            self._server.server_close()

    def close(self) -> None:
        self.end.set()
        self._server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):  # a browser that went away is no error
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    board: Dashboard
    protocol_version = "HTTP/1.1"
    timeout = 60
    server_version, sys_version = "bilevel", ""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.close_connection = True  # whatever is left unread is no next request
        if self._elsewhere() or (found := self._address()) is None:
            return
        key, _, view = found[0].removeprefix("/run/").rpartition("/")
        length = self.headers.get("Content-Length", "")
        if no := barred(self.board.token, self.headers.get):
            self._say(403, no)
        elif view != "steer" or self.headers.get("Content-Type", "").partition(";")[0] != FORM:
            self._say(404, "only acts for a run are taken, from a form")
        elif not (length.isascii() and length.isdigit()) or int(length[:20]) > MOST:
            self._say(413, f"a form has at most {MOST:,} bytes")
        else:
            body = self.rfile.read(int(length)).decode("utf-8", "replace")
            self._say(*take(self.board.shelf, unquote(key), body))

    def _say(self, status: int, said: str) -> None:
        self._send(status, said.encode("utf-8", "replace"), "text/plain; charset=utf-8")

    def _elsewhere(self) -> bool:
        """Whether the request calls this machine by a name that is not its own; then it is answered."""
        if self.headers.get("Host", "").rpartition(":")[0] in NAMES or self.headers.get("Host") in NAMES:
            return False
        self._say(403, "this server answers to 127.0.0.1 and localhost only\n")
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: addresses hold what people look at."""

    def _answer(self) -> None:
        if self._elsewhere() or (found := self._address()) is None:
            return
        path, query = found
        if path in STATIC:
            body = files("bilevel.dashboard").joinpath("static", path[1:]).read_bytes()
            if path == "/dashboard.css":
                body = "\n".join((STYLE, RUN, body.decode(), PAPER)).encode()
            self._send(200, body, STATIC[path])
        elif path == "/events":
            self._events(query)
        elif path.startswith(("/comparison/", "/report/")):
            _, kind, key = path.split("/", 2)
            self._report(kind, unquote(key))
        else:
            self._page(path, query)

    def _address(self) -> tuple[str, dict[str, list[str]]] | None:
        """The path and the query of the request; None where they cannot be read: then it is answered."""
        try:
            parts = urlsplit(self.path)
            return parts.path, parse_qs(parts.query, keep_blank_values=True, max_num_fields=600)
        except ValueError as error:
            self._say(400, f"the address cannot be read: {error}\n")
            return None

    def _page(self, path: str, query: Mapping[str, list[str]]) -> None:
        shelf = self.board.shelf
        try:
            page = route(shelf, path, query)
        except InputError as error:
            page = Page("Not here", nothing(str(error)), status=404)
        except BilevelError as error:
            page = Page("It cannot be shown", nothing(str(error)), status=500)
        except Exception:
            traceback.print_exc()
            page = Page(
                "It cannot be shown", nothing("A fault of the dashboard's own; the terminal has it."), status=500
            )
        keys = page.keys or ([page.run.key] if page.run is not None else [])
        body = document(page, shelf.version(keys)).encode("utf-8", "replace")
        self._send(page.status, body, "text/html; charset=utf-8")

    def _report(self, kind: str, key: str) -> None:
        """The page that `bilevel report` or `compare` wrote; it has its style within, and may run and load nothing."""
        try:
            page = report_of(self.board.shelf, kind, key)
            body = page.read_bytes()
        except (BilevelError, OSError) as error:
            self._say(404, f"{error}\n")
        else:
            self._send(200, body, "text/html; charset=utf-8", REPORT_POLICY)

    def _send(self, status: int, body: bytes, kind: str, policy: str = POLICY) -> None:
        self.send_response(status)
        self._headers(kind, policy)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _headers(self, kind: str, policy: str) -> None:
        for name, value in (
            ("Content-Type", kind),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)

    def _events(self, query: Mapping[str, list[str]]) -> None:
        """Server-sent events: "changed" with the new version whenever a page about these runs would be another."""
        if not self.board.waiting.acquire(blocking=False):
            self._send(503, b"too many pages wait for news\n", "text/plain; charset=utf-8")
            return
        if self.command == "HEAD":  # asks whether there is room, and takes none
            self.board.waiting.release()
            self._stream()
            return
        try:
            self._stream()
            seen = self.headers.get("Last-Event-ID") or query.get("seen", [""])[0]
            self._tell(query.get("run", []), seen)
        finally:
            self.board.waiting.release()

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self._headers("text/event-stream; charset=utf-8", POLICY)
        self.send_header("Connection", "close")
        self.end_headers()

    def _tell(self, keys: list[str], seen: str) -> None:
        shelf, beat = self.board.shelf, time.monotonic()
        self.wfile.write(b"retry: 1000\n: here\n\n")
        while not self.board.end.is_set() and not self._left():
            version = shelf.version(keys)
            if version != seen:
                seen, beat = version, time.monotonic()
                self.wfile.write(f"event: changed\nid: {version}\ndata: {version}\n\n".encode())
                self.board.end.wait(SPACING)
                continue
            if time.monotonic() - beat > BEAT:
                beat = time.monotonic()
                self.wfile.write(b": still here\n\n")
            with shelf.news:
                if shelf.version(keys) == seen:
                    shelf.news.wait(1.0)

    def _left(self) -> bool:
        """Whether the browser has gone: it says nothing more, so there is something to read only at the end."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""


def report_of(shelf: Shelf, kind: str, key: str) -> Path:
    """The report of a comparison, or of a run ("report"). Raises InputError where there is none."""
    if kind == "comparison":
        group = shelf.groups.get(key)
        found = None if group is None else group.page
    else:
        written = shelf.run(key).report
        found = None if written is None else written.page
    if found is None:
        raise InputError(f"there is no report of {key!r}; `bilevel report` writes one")
    return found


def route(shelf: Shelf, path: str, query: Mapping[str, list[str]]) -> Page:
    """The page of an address. Raises InputError where there is none."""
    if path == "/":
        return home(shelf)
    if path == "/compare":
        return together(shelf, query.get("run", []))
    first, _, rest = path.removeprefix("/").partition("/")
    if first != "run" or not rest:
        raise InputError(f"there is no page {path!r}")
    key, _, view = rest.partition("/")
    name, _, one = view.partition("/")
    run = shelf.run(unquote(key))
    run.look()
    asked = {name: values[0] for name, values in query.items()}
    if one and name in SINGLE:
        return SINGLE[name](run, asked, unquote(one))
    if one or name not in VIEWS:
        raise InputError(f"a run has no view {view!r}")
    return VIEWS[name](run, asked)
