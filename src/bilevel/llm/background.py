"""One event loop on a thread of its own, for all model calls of the process; who waits can be told to stop."""

import asyncio
import concurrent.futures
import functools
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from bilevel.errors import Stopped

T = TypeVar("T")
_MAKING = threading.Lock()
INTERVAL = 0.05  # seconds between two looks at whether somebody asked to stop


def run(task: Coroutine[Any, Any, T], cancel: threading.Event) -> T:
    """The task's result. Raises what it raises, and Stopped where `cancel` is set first; the task is then abandoned."""
    future = asyncio.run_coroutine_threadsafe(task, _shared_loop())
    try:
        while True:
            concurrent.futures.wait([future], timeout=INTERVAL)
            if future.done():
                return future.result()
            if cancel.is_set():
                raise Stopped("stopped while a language model was being asked; `bilevel resume` asks it again")
    finally:
        future.cancel()


def _shared_loop() -> asyncio.AbstractEventLoop:
    with _MAKING:
        return _loop(os.getpid())


@functools.cache
def _loop(process: int) -> asyncio.AbstractEventLoop:
    """The loop of this process (a fork does not inherit the thread). It ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="bilevel-models", daemon=True).start()
    return loop
