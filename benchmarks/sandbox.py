"""What a mechanism costs in a sandbox: the round trip of each hook, beside the same call in this process.

    python benchmarks/sandbox.py --lengths 10 100 1000 5000 --calls 200 --level auto

Each call is a new trial's: the trace is one trial longer than at the call before, as in a search, and the view is made
anew. Times are wall times of this process, the two ways by turns, call by call. `idle` answers the question itself, so
that its time is the way there and back; `bandit` and `tabu` are the shipped ones.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bilevel.mechanism import Guest, Mechanism, load, overridden
from bilevel.mechanisms import source
from bilevel.sandbox.proxy import Sandbox
from bilevel.situations import BASELINE, NUMERIC, Case, mixed_trace, view_of
from bilevel.space import Space
from bilevel.trace import Trace
from bilevel.trial import Proposal, Step
from bilevel.view import Briefing

IDLE = """
from bilevel.mechanism import Mechanism
class Idle(Mechanism):
    def remember(self, memory, trial): return (memory or 0) + 1
    def select(self, view, parent): return parent
    def advise(self, view, briefing): return briefing
    def constrain(self, view, space): return space
    def propose(self, view, parent, proposals): return proposals
    def plan(self, view, proposal, partial, steps): return steps
    def decide(self, view, trial): return trial.decision
"""
GUESTS = {
    "idle": IDLE,
    "bandit": source("bandit", patience=0),
    "tabu": source("tabu"),
}
SPACE = Space(NUMERIC)


@dataclass(frozen=True)
class Times:
    """Seconds of one hook, call by call, both ways."""

    here: list[float]
    there: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 100, 1000, 5000])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--level", default="auto")
    options = parser.parse_args()
    whole = mixed_trace(SPACE, max(options.lengths) + options.calls)
    with Sandbox(options.level) as sandbox:
        print(f"level {sandbox.in_force}; {options.calls} calls each; milliseconds")
        start_up(sandbox)
        print(f"{'mechanism':10}{'hook':12}{'trials':>7}{'median':>9}{'p99':>9}{'in process':>12}{'ratio':>9}")
        for name, text in GUESTS.items():
            for length in options.lengths:
                measured = round_trips(sandbox, Guest(name, text), whole, length, options.calls)
                for hook, times in measured.items():
                    print(f"{name:10}{hook:12}{length:7,}{row(times)}")
        catching_up(sandbox, whole, options.lengths)


def row(times: Times) -> str:
    here, there = statistics.median(times.here), statistics.median(times.there)
    last = sorted(times.there)[max(0, int(0.99 * len(times.there)) - 1)]
    return f"{1000 * there:9.3f}{1000 * last:9.3f}{1000 * here:12.4f}{there / here:9.1f}"


def start_up(sandbox: Sandbox) -> None:
    for title, head in {"plain": "", "numpy": "import numpy\n", "sklearn": SKLEARN}.items():
        began = time.perf_counter()
        sandbox.load(Guest("fresh", f"{head}{IDLE}"))
        first = time.perf_counter() - began
        began = time.perf_counter()
        sandbox.load(Guest("again", f"{head}{IDLE}"))
        again = time.perf_counter() - began
        print(f"start-up, {title}: {1000 * first:.0f}; one more of the same source: {1000 * again:.2f}")


SKLEARN = "from sklearn.gaussian_process import GaussianProcessRegressor\n"


def round_trips(sandbox: Sandbox, guest: Guest, whole: Trace, length: int, calls: int) -> dict[str, Times]:
    """The hooks of a mechanism, asked at so many trials and after each of those that follow."""
    here, there = load(guest), sandbox.load(guest)
    mine, its = folded(here, whole[:length]), folded(there, whole[:length])
    hooks = [hook for hook in overridden(here) if hook != "remember"]
    times = {hook: Times([], []) for hook in overridden(here)}
    warm(there, whole.upto(length), its, hooks)
    for number in range(length, length + calls):
        trial = whole[number]
        if "remember" in times:
            mine = timed(times["remember"].here, functools.partial(here.remember, mine, trial))
            its = timed(times["remember"].there, functools.partial(there.remember, its, trial))
        trace = whole.upto(number + 1)
        for hook, arguments in questions(trace, hooks):
            view = view_of(Case("", trace, SPACE, BASELINE, ()), None)
            for mechanism, memory, kept in ((here, mine, times[hook].here), (there, its, times[hook].there)):
                seen = replace(view, memory=memory)
                timed(kept, functools.partial(getattr(mechanism, hook), seen, *arguments))
    return times


def folded(mechanism: Mechanism, trials: list[Any]) -> Any:
    memory: Any = None
    if "remember" in overridden(mechanism):
        for trial in trials:
            memory = mechanism.remember(memory, trial)
    return memory


def warm(mechanism: Mechanism, trace: Trace, memory: Any, hooks: list[str]) -> None:
    """What the process does not know of the trace is sent once."""
    for hook, arguments in questions(trace, hooks):
        getattr(mechanism, hook)(view_of(Case("", trace, SPACE, BASELINE, ()), memory), *arguments)


def questions(trace: Trace, hooks: list[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    trial = trace[-1]
    parent = trace.current or BASELINE
    drafts = tuple(
        Proposal(parent.with_params(width=8 + len(trace) % 500, layers=n), "an idea", "x") for n in (1, 2, 3)
    )
    arguments: dict[str, tuple[Any, ...]] = {
        "select": (parent,),
        "advise": (Briefing(guidance="be bold"),),
        "constrain": (SPACE,),
        "propose": (parent, drafts),
        "plan": (drafts[0], (), (Step("quick"), Step("full"))),
        "decide": (replace(trial, number=len(trace)),),
    }
    return ((hook, arguments[hook]) for hook in hooks)


def timed(kept: list[float], act: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    answer = act()
    kept.append(time.perf_counter() - began)
    return answer


def catching_up(sandbox: Sandbox, whole: Trace, lengths: list[int]) -> None:
    """The first call of a process that knows nothing of the trace, and a memory that is made again."""
    print("a process that knows nothing yet: first hook; then remember, trial by trial and in one go")
    for length in lengths:
        guest = Guest("fresh", f"{IDLE}\n# {length}")
        made, trace = sandbox.load(guest), whole.upto(length)
        first, one, together = [], [], []
        timed(first, functools.partial(warm, made, trace, None, ["select"]))
        timed(one, functools.partial(folded, made, trace[:]))
        timed(together, functools.partial(made.remember_all, None, trace[:]))
        print(f"  {length:6,} trials: {1000 * first[0]:9.1f}{1000 * one[0]:9.1f}{1000 * together[0]:9.1f}")


if __name__ == "__main__":
    main()
