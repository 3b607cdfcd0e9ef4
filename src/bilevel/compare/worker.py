"""A worker of `bilevel compare`: reads on its input which run to do, and answers with a line how it ended."""

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

from bilevel.compare.folder import Folder, open_folder
from bilevel.compare.running import execute
from bilevel.errors import Stopped

PATIENCE = 60.0  # seconds that a run may take to stop once the parent is gone


def main(path: Path) -> None:
    """Work until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    folder = open_folder(path)
    asked: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while (line := asked.get()) is not None:
        print(json.dumps(_do(folder, json.loads(line))), file=out, flush=True)


def _do(folder: Folder, wanted: dict[str, object]) -> dict[str, object]:
    asked = wanted["task"], wanted["replicate"], wanted["arm"]
    job = next(job for job in folder.jobs if (*job.pair, job.arm) == asked)
    try:
        return {"failed": execute(folder, job)}
    except Stopped:
        return {"stopped": True}


def _listen(asked: "queue.Queue[str | None]") -> None:
    for line in sys.stdin:
        asked.put(line)
    asked.put(None)
    time.sleep(0.5)
    for _ in range(2):  # still at work: the parent is gone; the first asks to stop, the second ends what is running
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
    time.sleep(PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
