"""`serve`: the pages, until Ctrl-C."""

import secrets
import signal
import threading
from pathlib import Path
from types import FrameType

from bilevel.dashboard.server import Dashboard
from bilevel.dashboard.shelf import Shelf


def serve_runs(folders: tuple[Path, ...], port: int, steer: bool = False) -> None:
    """Print where the pages are, and serve them."""
    token = secrets.token_urlsafe(24) if steer else ""
    board = Dashboard(Shelf(folders), port, token)

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=board.close, daemon=True).start()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
    count = len(board.shelf.entries)
    print(f"{count} run{'' if count == 1 else 's'} at {board.address} (Ctrl-C ends it)", flush=True)
    if steer:
        print(f"to steer them, open {board.address}#token={token}", flush=True)
    board.serve()
