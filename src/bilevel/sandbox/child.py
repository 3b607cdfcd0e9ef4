"""The sandboxed process itself: `python -P -s -S child.py`, started by `starting.py` and by nobody else.

The first line that it reads says what to load and which walls to put up. It loads the modules, puts up the walls, says
`ready`, and from then on answers one request after the other; guest code runs only behind the walls. Requests and
replies travel over two descriptors with no name: 0 and 1 are /dev/null by then, so that a `print` is no answer.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable
from typing import Any

FIRST_DESCRIPTOR = 100


class Wire:
    """Lines of JSON to and from the host."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self._held = b""

    def receive(self) -> Any:
        """The next line; the process ends where the host has closed its side."""
        parts = [self._held]
        while b"\n" not in parts[-1]:
            part = os.read(self.source, 1 << 18)
            if not part:
                os._exit(0)
            parts.append(part)
        line, _, self._held = b"".join(parts).partition(b"\n")
        return json.loads(line)

    def send(self, message: dict[str, Any]) -> None:
        """Write one line, all of it."""
        data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        while data:
            data = data[os.write(self.sink, data) :]

    def announce(self, pid: int) -> None:
        """Say which process it is that will answer, and leave the wire to it."""
        self.send({"pid": pid})
        os.close(self.source)
        os.close(self.sink)


def serve(wire: Wire, handle: Callable[[Any, Callable[[Any], Any]], Any]) -> None:
    """Answer requests until the host closes its side."""
    while True:
        request = wire.receive()
        number = request["id"]

        def ask(question: Any, number: str = number) -> Any:
            wire.send({"id": number, "ask": question})
            return wire.receive()["answer"]

        try:
            wire.send({"id": number, "reply": handle(request["request"], ask)})
        except BaseException as error:
            wire.send({"id": number, "raised": f"{type(error).__name__}: {error}"[:2000]})


class Closed:
    """Stands where modules are looked for on disk, once that is over. `failed`: why some could not be loaded before."""

    def __init__(self, failed: dict[str, str]) -> None:
        self.failed = failed

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Say that a module cannot be had any more."""
        why = f": {self.failed[name]}" if name in self.failed else ""
        raise ModuleNotFoundError(f"module {name!r} was not loaded before the sandbox closed{why}", name=name)


def close_imports(failed: dict[str, str]) -> None:
    """From now on only modules that are loaded, or part of the interpreter itself, can be imported."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"]
    sys.meta_path.append(Closed(failed))
    sys.path.clear()
    sys.path_importer_cache.clear()


def load(setup: dict[str, Any], failed: dict[str, str]) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Import all that may be needed later, and the function that answers.

    A module that a guest's text names and that cannot be imported is the guest's affair: it is told why, by `failed`,
    when it imports it, and the process starts without it.
    """
    from importlib import import_module

    sys.path.extend(setup["path"])
    for name in setup["preload"]:
        try:
            import_module(name)
        except (Exception, SystemExit) as error:
            failed[name] = f"{type(error).__name__}: {error}"[:200]
    if "sklearn" in sys.modules:  # it looks for the libraries that are loaded when it first computes
        finder = getattr(import_module("sklearn.utils.parallel"), "_get_threadpool_controller", None)
        if finder is not None:
            finder()
    module, _, function = setup["entry"].partition(":")
    found: Callable[[Any, Callable[[Any], Any]], Any] = getattr(import_module(module), function)
    return found


def main() -> None:
    """Load, put up the walls, serve."""
    source, sink = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR) for number in (0, 1))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    wire = Wire(source, sink)
    setup = wire.receive()
    failed: dict[str, str] = {}
    try:
        handle = load(setup, failed)
        from bilevel.sandbox import walls

        close_imports(failed)
        wire.send({"ready": walls.close(setup["walls"], wire.announce)})
    except BaseException as error:
        wire.send({"failed": f"{type(error).__name__}: {error}"[:2000]})
        os._exit(1)
    serve(wire, handle)


if __name__ == "__main__":
    main()
