"""Start and end the server of the small model; its death is an error, never a wait."""

import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import llama_server

SERVER = Path(llama_server.__file__)
STARTS_WITHIN = 120.0  # seconds


@dataclass
class Server:
    """A running server; it ends with its standard input."""

    process: "subprocess.Popen[str]"
    address: str

    def stop(self) -> int:
        """End it, by force as the last resort; its exit code."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def started(command: list[str], log: Path, seconds: float = STARTS_WITHIN) -> Server:
    """A server that printed its address. Raises RuntimeError with its log where it ended, or said nothing in time."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
        )
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.strip())
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    server = Server(process, "")
    try:
        server.address = lines.get(timeout=seconds)
    except queue.Empty:
        server.stop()
        raise RuntimeError(f"the server gave no address within {seconds:g} s:\n{log.read_text()[-2000:]}") from None
    if not server.address.startswith("http"):
        code = server.stop()
        raise RuntimeError(f"the server ended with {code} ({server.address!r}):\n{log.read_text()[-2000:]}")
    return server
