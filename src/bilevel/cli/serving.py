"""`serve`: the pages, until Ctrl-C."""

import signal
import threading
from pathlib import Path
from types import FrameType

from bilevel.dashboard.server import Dashboard
from bilevel.dashboard.shelf import Shelf


def serve_runs(folders: tuple[Path, ...], port: int) -> None:
    """Print where the pages are, and serve them."""
    board = Dashboard(Shelf(folders), port)

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=board.close, daemon=True).start()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
    count = len(board.shelf.entries)
    print(f"{count} run{'' if count == 1 else 's'} at {board.address} (Ctrl-C ends it)", flush=True)
    board.serve()
