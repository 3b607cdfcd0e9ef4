"""Run folders of every kind, and a dashboard that shows them."""

import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass

import in_process
import pytest

from bilevel.budget import Cost
from bilevel.dashboard.server import Dashboard
from bilevel.dashboard.shelf import Shelf
from bilevel.lab import Branch
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.trial import Decision, Proposal, Run, Status, Trial


@pytest.fixture(scope="session")
def making():
    """How tests make run folders and dashboards of their own."""
    return Making()


class Making:
    """What tests make run folders and dashboards with."""

    def __init__(self):
        self.serving, self.run, self.trial, self.hostile = serving, run_of, trial_of, HOSTILE


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict


class Browser:
    """Gets pages as a browser would, without running anything in them."""

    def __init__(self, board):
        self.board = board
        self.address = board.address

    def get(self, path, method="GET", body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        data = None if body is None else body.encode()
        request = urllib.request.Request(self.address.rstrip("/") + path, data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode(), dict(error.headers))


@contextmanager
def serving(*folders, port=0, token=""):
    board = Dashboard(Shelf(folders), port, token)
    thread = threading.Thread(target=board.serve, daemon=True)
    thread.start()
    try:
        yield Browser(board)
    finally:
        board.close()
        thread.join()


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with a run of one level and one with mechanisms, which share task and seed."""
    folder = tmp_path_factory.mktemp("shown")
    for recipe, researcher, trials in (("a", "random", 12), ("d", "stuck", 24)):
        args = ("run", recipe, "--task", "sphere", "--researcher", researcher, "--trials", trials, "--folder", recipe)
        done = in_process.run(*args, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def browser(runs):
    with serving(runs) as found:
        yield found


HOSTILE = '</pre></script><script>window.owned = 1</script><img src="http://evil.example/x" onerror="owned=1">\u202e"\''


def run_of(path, config, trials=(), calls=(), state="running"):
    """A run folder with these records of the innermost loop."""
    folder = RunFolder.create(path, config)
    folder.set_meta("state", state)
    folder.store.open_branch(Branch("root", "inner"))
    for trial in trials:
        folder.store.add_trial("root", trial)
    for call in calls:
        folder.store.add_call(call)
    folder.close()
    return path


def trial_of(number, score, *, said="", parent=0.0, status=None, keep=False):
    """A trial of the sphere that moved x0 to its number."""
    old, new = (Candidate({"x0": value}, {"notes.md": f"{said}{value}\n"}) for value in (parent, float(number)))
    found = status or (Status.OK if score is not None else Status.EXIT)
    metrics = None if score is None else {"loss": score}
    run = Run("full", 0, found, metrics, Cost(evaluations=1, seconds=0.1), log=said)
    changes = new.changes_from(old) if number else {}
    proposal = Proposal(new if number else old, why=said, author=f"somebody {said}")
    return Trial(number, old, proposal, (run,), found, score, Decision(keep, said or "said"), changes)


@pytest.fixture
def config(runs):
    return json.loads((runs / "a" / "run.json").read_text())
