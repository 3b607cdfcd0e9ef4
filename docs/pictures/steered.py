"""A search on the real task `gpt` that somebody steers, for a picture: needs torch, and takes some minutes.

While the baseline is measured the person gives guidance, freezes a parameter and pauses the run; then lets it go on,
allows further spending, and is asked at the gate whether the first better candidate may take the baseline's place.
There it stays until the picture is taken.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bilevel.errors import BilevelError
from bilevel.steering.hearing import GATE
from bilevel.store.folder import RunFolder

HERE = Path(__file__).parent
RUN = ("--task", "gpt", "--agent", "{python} ./small_steps.py {briefing}", "--trials", "8")
GATES = ("--gate", "keep", "--gate", "evaluations=3")
FIRST = (
    ("guide", "the validation loss still falls at the end: fewer layers leave time for more steps"),
    ("freeze", "WEIGHT_DECAY", "--why", "it is as the original has it"),
    ("pause", "--why", "the machine is needed for a moment"),
)
LONGEST = 1800.0  # seconds until the question must be there


@contextmanager
def steered(path: Path) -> Iterator[Callable[[], None]]:
    """A search goes on within the block; what is given returns once it waits for a person at the gate.

    Raises RuntimeError, with what the search printed, where it ends before, or does not ask in time.
    """
    command = [sys.executable, "-m", "bilevel", "run", "a", *RUN, *GATES, "--folder", str(path)]
    printed = path.with_suffix(".log")
    with printed.open("wb") as log, ThreadPoolExecutor(1) as pool:
        search = subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log)
        asked = pool.submit(_until_asked, path, search, printed)
        try:
            yield asked.result
        finally:
            search.send_signal(signal.SIGINT)
            search.wait(timeout=120)


def _until_asked(path: Path, search: "subprocess.Popen[bytes]", printed: Path) -> None:
    """Steer the run as it is said above, until the gate asks whether a candidate is kept."""
    end, given = time.monotonic() + LONGEST, False
    while time.monotonic() < end:
        if search.poll() is not None:
            said = printed.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"the run ended with {search.returncode} before the gate asked:\n{said}")
        state, asked = _state(path)
        if state == "running" and not given:
            given = True
            for act in FIRST:
                _steer(path, *act)
        elif state == "paused":
            _steer(path, "resume", "--why", "free again")
        elif asked.startswith("spend"):
            _steer(path, "approve", asked, "--why", "the baseline is what it should be")
        elif asked.startswith("keep"):
            return
        time.sleep(0.5)
    raise RuntimeError(f"the gate did not ask within {LONGEST:g} s")


def _steer(path: Path, kind: str, *more: str) -> None:
    line = [sys.executable, "-m", "bilevel", "steer", kind, str(path), *more, "--author", "Ada"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def _state(path: Path) -> tuple[str, str]:
    """The state of the run, and the question that it waits for a person to answer."""
    try:
        folder = RunFolder.read(path)
        try:
            asked = folder.meta(GATE)
            return str(folder.meta("state")), "" if asked is None else str(asked["id"])
        finally:
            folder.close()
    except BilevelError:  # it is being made
        return "", ""
