"""Functions to be optimised: they are imported by worker processes of their own."""

import ctypes
import functools
import math
import os
import random
import signal
import subprocess
import sys
import time

CALLS = [0]


def loss(params):
    return (params["rate"] - 0.01) ** 2 + abs(params["depth"] - 3) + (params["shape"] == "flat")


def seeded(params, seed):
    return {"loss": params["x"] ** 2 + seed % 7, "steps": 3, "text": "no number"}


def forgetful(params):
    """What one call leaves behind must not reach the next."""
    CALLS[0] += 1
    return params["x"] + CALLS[0] + random.random()


bound = functools.partial(loss)


class Callable:
    def __init__(self, target):
        self.target = target

    def __call__(self, params):
        return abs(params["x"] - self.target)


def hang(params):
    if params["x"] != 0:
        time.sleep(1000)
    return 1.0


def burn(params):
    while params["x"] != 0:
        pass
    return 1.0


def hungry(params):
    kept = [bytearray(50_000_000) for _ in range(100 if params["x"] else 0)]
    time.sleep(60 if kept else 0)
    return 1.0


def hard_exit(params):
    if params["x"]:
        os._exit(3)
    return 1.0


def soft_exit(params):
    if params["x"]:
        sys.exit("enough")
    return 1.0


def silent_end(params):
    if params["x"]:
        os._exit(0)
    return 1.0


def segfault(params):
    if params["x"]:
        ctypes.string_at(0)
    return 1.0


def raises(params):
    if params["x"]:
        raise ValueError("the reason")
    return 1.0


def nan(params):
    return math.nan if params["x"] else 1.0


def nothing(params):
    return None if params["x"] else 1.0


def noisy(params):
    print("to stdout")
    os.write(2, b"to stderr\n")
    return 1.0 - params["x"] / 10


def flood(params):
    while params["x"]:
        print("x" * 10_000)
    return 1.0


def leaves_children(params):
    """Starts a process in a session of its own that outlives the call, unless somebody ends it."""
    if params["x"]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
        print(f"child {child.pid}")
    return 1.0 - params["x"] / 10


def kills_its_worker(params):
    if params["x"]:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)
    return 1.0


def sees(params):
    print(*sorted(os.environ))
    print(os.getcwd())
    return 1.0
