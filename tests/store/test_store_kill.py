"""A writer that is killed at any instant loses nothing that it was told is stored, and leaves nothing half."""

import random
import subprocess
import sys

import pytest
import store_examples
from store_examples import key, pending, run, trial

from bilevel.store.folder import RunFolder


def killed(path, rng: random.Random) -> int:
    """Let another process write and kill it -9 at a random instant; returns the last number that it said is stored."""
    process = subprocess.Popen([sys.executable, store_examples.__file__, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = [process.stdout.readline() for _ in range(rng.randrange(1, 120))][-1]
    for _ in range(rng.randrange(20_000)):  # so that it is not always just after a trial
        pass
    process.kill()
    told = [last, *process.stdout.read().splitlines(keepends=True)]
    process.wait(timeout=60)
    process.stdout.close()
    return int([line for line in told if line.endswith("\n")][-1])


@pytest.mark.slow
def test_nothing_that_was_stored_is_lost_by_kill_9_and_nothing_is_half(folder, path):
    folder.close()
    rng = random.Random(7)
    for _ in range(10):
        last = killed(path, rng)
        opened = RunFolder.open(path)
        trials = opened.store.trials("root")
        assert len(trials) >= last + 1
        assert trials == [trial(number) for number in range(len(trials))]
        assert opened.store.pendings("root") in ([], [pending(len(trials))])
        assert all(opened.store.find_run(key(number)) == run(number) for number in range(len(trials)))
        opened.close()
