"""A guest that stays under each limit, or lies about whose fault it was, gains nothing by it."""

from pathlib import Path

import pytest
from proxied import Channels

from bilevel.budget import Budget
from bilevel.errors import HarnessError
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest
from bilevel.sandbox import levels
from bilevel.sandbox.cell import Cell, CellFault, CellLimits
from bilevel.sandbox.mirror import Mirrored
from bilevel.sandbox.proxy import Sandbox
from bilevel.situations import Bowl, Walk

OWN_WIRE = """
import sys, os
frame = sys._getframe()
while "number" not in frame.f_locals or "wire" not in frame.f_locals:
    frame = frame.f_back
number, wire = frame.f_locals["number"], frame.f_locals["wire"]
"""


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize("level", levels.LEVELS)
def test_waiting_a_little_less_than_the_limit_again_and_again_is_stopped(level):
    if level not in levels.available():
        pytest.skip(f"no {level} on this machine")
    limits = CellLimits(call_wall_seconds=10.0, wait_seconds=0.2, wait_refill_seconds=0.01)
    with Cell("cell_entries:hostile", level, limits) as cell:
        with pytest.raises(CellFault, match="the calls together waited longer than they may") as fault:
            for _ in range(10):
                cell.call("import time; time.sleep(0.06)")
        assert fault.value.cause == "wait"
        assert cell.call("result = 1") == 1


def test_the_hosts_own_time_is_not_waiting():
    limits = CellLimits(wait_seconds=0.3, wait_refill_seconds=0.0)

    def slow(question):
        end = __import__("time").monotonic() + 0.5
        while __import__("time").monotonic() < end:
            pass
        return question

    with Cell("cell_entries:hostile", levels.best(), limits) as cell:
        assert cell.call("result = ask(3)", slow) == 3


def test_a_guest_cannot_keep_the_host_busy_with_questions():
    source = OWN_WIRE + (
        'line = (\'{"id":"%s","ask":"%s"}\\n\' % (number, "x" * 10_000)).encode()\n'
        "for _ in range(1000):\n    os.write(wire.sink, line)\n    wire.receive()\n"
    )
    asked = []
    with (
        Cell("cell_entries:hostile", levels.best(), CellLimits(talk_bytes=100_000)) as cell,
        pytest.raises(CellFault, match="the questions of one call took more than 100000 bytes") as fault,
    ):
        cell.call(source, asked.append)
    assert fault.value.cause == "talk" and len(asked) < 12


def test_a_module_that_cannot_be_imported_is_no_failure_of_ours():
    with Cell("cell_entries:hostile", levels.best(), CellLimits(), ("json.nowhere", "json.tool")) as cell:
        assert cell.call("import json.tool; result = 1") == 1
        found = cell.call("import json.nowhere")
    assert found["error"] == "ModuleNotFoundError"
    assert "No module named 'json.nowhere'" in found["text"]


HOARDER = """
import json
from bilevel.mechanism import Mechanism
from bilevel.trial import Decision

kept = json.__dict__.setdefault("kept", [])  # outlives the guest's own module


class Hoarder(Mechanism):
    def decide(self, view, trial):
        kept.append(1)
        return Decision(trial.decision.keep, f"asked {len(kept)} times")
"""


def test_what_a_guest_hoards_in_one_arm_is_gone_in_the_other():
    with Sandbox() as sandbox:
        guest, said = Guest("hoarder", HOARDER), []
        for _ in ("challenger", "control"):
            spec = LoopSpec("inner", Bowl(), Walk(), (guest,), budget=Budget(trials=3), load=sandbox.load)
            said.append([trial.decision.reason for trial in Loop(spec, Lab()).run()])
        assert said[0][1:] == ["asked 1 times", "asked 2 times", "asked 3 times"]
        assert said[1] == said[0]
        assert sandbox.cells == 1


PLAIN = """
from bilevel.mechanism import Mechanism


class Plain(Mechanism):
    def remember(self, memory, trial):
        return trial.number

    def decide(self, view, trial):
        return trial.decision
"""
LIAR = """
import json
from bilevel.mechanism import Mechanism

found = json.codecs.sys.modules["bilevel.sandbox.guest_side"]


class Liar(Mechanism):
    def decide(self, view, trial):
        found.said = lambda guest, error: "a lie"
        found._place = lambda guest, error: ""
        raise ValueError("mine")
"""


def searched(sandbox, source):
    spec = LoopSpec("inner", Bowl(), Walk(), (Guest("guest", source),), budget=Budget(trials=4), load=sandbox.load)
    return [fault.message for trial in Loop(spec, Lab()).run() for fault in trial.faults]


def test_a_guest_that_says_it_was_not_its_fault_ends_no_run():
    with Sandbox() as sandbox:
        assert searched(sandbox, LIAR) == ["a lie"] * 3


class AsInACell:
    """A channel that says as a cell does that what answers in the process failed."""

    def __init__(self, inner):
        self.inner, self.close = inner, inner.close

    def call(self, request, ask=None):
        try:
            return self.inner.call(request, ask)
        except ValueError as error:
            raise CellFault("raised", f"the sandboxed process failed: {error}") from error


@pytest.mark.parametrize("part", ["view", "take"])
def test_an_error_of_our_own_in_the_process_is_not_held_against_the_guest(monkeypatch, part):
    channels = Channels()
    with Sandbox(start=lambda modules: AsInACell(channels(modules))) as sandbox:
        assert searched(sandbox, PLAIN) == []

        def broken(self, *arguments):
            raise ValueError("not enough values to unpack")

        monkeypatch.setattr(Mirrored, part, broken)
        with pytest.raises(HarnessError, match=r"the sandbox failed, not the mechanism in it: .*not enough values"):
            searched(sandbox, PLAIN)
