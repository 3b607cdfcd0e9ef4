"""A small search with a mechanism in force: what only a real loop brings out."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from bilevel.budget import Budget
from bilevel.lab import Lab
from bilevel.loop import Loop, LoopSpec
from bilevel.mechanism import Guest, Mechanism
from bilevel.situations import Bowl, Walk
from bilevel.trace import Trace
from bilevel.trial import Fault

ROLLOUT = 16  # trials of the small loop
NO_MODEL = "view.ask"  # a fault that says that the small loop has no language model


class Wall(Protocol):
    """What loads guests into processes elsewhere."""

    def load(self, guest: Guest) -> Mechanism: ...


def search_with(load: Callable[[Guest], Mechanism], guest: Guest) -> Trace:
    """The trace of a small search with a guest in force."""
    spec = LoopSpec("rollout", Bowl(), Walk(), (guest,), budget=Budget(trials=ROLLOUT), load=load)
    return Loop(spec, Lab()).run()


def judge(trace: Trace, name: str) -> list[str]:
    """What is wrong with what a mechanism did in such a search: faults, repeats, and overruling without end."""
    where = f"in a loop of {ROLLOUT} trials"
    faults: list[Fault] = [fault for trial in trace for fault in trial.faults if NO_MODEL not in fault.message]
    kinds = {(fault.hook, fault.message[:40]): fault for fault in reversed(faults)}
    found = [f"{fault.hook}, {where}: {fault.message}" for fault in [*kinds.values()][::-1][:3]]
    own = [back for trial in trace for back in trial.turned_back if back.author == name]
    again = [back for back in own if back.reason.startswith("already measured")]
    distinct = {back.candidate for back in again}
    if len(again) > 3 * len(distinct):
        found.append(
            f"propose, {where}: it proposed the same {len(distinct)} candidate(s) {len(again)} times although they "
            f"were measured ({again[0].reason}); make the choice depend on view.trace, view.number or view.memory"
        )
    overruled = [trial for trial in trace if trial.overruled]
    if 2 * len(overruled) > len(trace):
        reasons = [back.reason for trial in overruled for back in trial.turned_back]
        found.append(
            f"propose, {where}: it turned back every draft in {len(overruled)} of them, though all were fresh, so the "
            f"host had to overrule it; for example: {reasons[0]:.200}"
        )
    return found


def judged_across(open_wall: Callable[[], AbstractContextManager[Wall]], guest: Guest) -> list[str]:
    """What the host sees of a guest that runs elsewhere, twice, each time behind a new wall.

    The guest forges no verdict here, since it is not asked for one. What is lost with its process, or depends on where
    things lie in its memory, shows in the second search.
    """
    ways = []
    for _ in range(2):
        with open_wall() as wall:
            trace = search_with(wall.load, guest)
        problems = judge(trace, guest.name)
        if problems:
            return problems
        ways.append(trace)
    first, second = ways
    if first.fingerprint() == second.fingerprint():
        return []
    number = next(n for n in range(len(first)) if first.upto(n + 1).fingerprint() != second.upto(n + 1).fingerprint())
    return [
        f"in a loop of {ROLLOUT} trials: run again in a fresh process, the search went another way from trial {number} "
        "on, with the same seed; take chance from view.rng(name) only, and order sets of objects before going through "
        "them"
    ]
