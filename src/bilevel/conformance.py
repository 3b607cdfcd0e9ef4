"""The suite that admits mechanisms, shipped or generated: `check_mechanism`. For the other ports see `port_suites`.

It returns what is wrong, in sentences for the author; an empty list says nothing is. A passed suite says that the
contract holds in the cases tried, not that the mechanism is useful.
"""

import copy
import math
import re
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from bilevel.codec import content_hash
from bilevel.errors import GuestError
from bilevel.mechanism import HOOKS, Guest, Mechanism, overridden
from bilevel.outside import changed_in_host, host_picture, kept_state, picture, state_of
from bilevel.questions import nonsense, questions
from bilevel.rollout import judge, search_with
from bilevel.saying import frames, holds_nan, raised, refusal_hint, said, situation
from bilevel.situations import Case, cases, view_of
from bilevel.step_suite import check_step
from bilevel.trial import Proposal
from bilevel.view import Briefing, View
from bilevel.watch import StillRunning, Watch, pace
from bilevel.workflow_step import WorkflowStep

__all__ = ["check_mechanism", "said"]

SECONDS = 1.0  # for all hooks over the long trace, CPU time of the reference machine
CERTAIN = 0.02  # seconds: what took less is fast enough beside any machine's pace, and needs no yardstick
TIMES = 2  # what is too slow is measured again, and the best counts
PATIENCE = 4.0  # seconds for all of one hook's questions in one case; it is ended there
MOST_MEMORY = 1_000_000  # characters of a memory's repr after the long trace
MOST_PROBLEMS = 12
SHRINK = (2, 3, 4, 6, 9, 13, 20, 30)  # so many trials may show already what a longer trace showed
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # is another each time
NOT_A_NUMBER = re.compile(r"(?<![\w.])-?(?:nan|inf)(?![\w.])")

Found = tuple[str, str, str]  # hook, kind of problem, sentence


def check_mechanism(make: Callable[[], Mechanism], watch: Watch | None = None) -> list[str]:
    """What is wrong with a mechanism, at most 12 sentences; `make` gives a new instance each time. A step of a workflow
    is tried by `check_step`.

    Each sentence says in which hook and in which of the situations, the smallest that shows it, what was expected, what
    came, and the line where there is one. `watch` ends what never ends.
    """
    watch = watch or Watch()
    try:
        with watch.over("the text itself, before any hook is called", PATIENCE):
            mechanism = make()
    except StillRunning as error:
        return [f"it cannot be made: {_still(error)}"]
    except GuestError as error:
        return [f"it cannot be made: {error}"]
    except Exception as error:
        return [f"it cannot be made: {said(error)}"]
    if isinstance(mechanism, WorkflowStep):
        return [ADDRESS.sub("", problem) for problem in check_step(make, type(mechanism), watch)][:MOST_PROBLEMS]
    hooks = overridden(mechanism)
    wrong = _check_declarations(mechanism)
    if not hooks:
        return [*wrong, f"it overrides no hook, so it would never be called; the hooks are: {', '.join(HOOKS)}"]
    suite = _Suite(make, hooks, watch)
    host = host_picture()
    numeric = isinstance(mechanism.needs, frozenset) and "numeric" in mechanism.needs
    wrong += suite.run([*cases(numeric_only=numeric)], mechanism)
    wrong += changed_in_host(host)
    wrong += suite.kept if not wrong else []
    if not wrong:
        wrong = _check_rollout(make, mechanism, watch)
    found = [*wrong, *changed_in_host(host)][:MOST_PROBLEMS]
    return [ADDRESS.sub("", problem) for problem in found]


def _check_declarations(mechanism: Mechanism) -> list[str]:
    found = []
    if not isinstance(mechanism.needs, frozenset) or not mechanism.needs <= {"numeric", "advice"}:
        found.append(f'needs must be a frozenset of "numeric" and "advice" or empty, not {mechanism.needs!r:.80}')
    if not isinstance(mechanism.domain, str):
        found.append(f"domain must be a text of a word or two, not {mechanism.domain!r:.80}")
    return found


def _still(error: StillRunning) -> str:
    line = f": it was at line {error.line} then" if error.line else ""
    return f"it did not end within {error.seconds:g} s of CPU time{line}; a loop in it may never end"


def _check_rollout(make: Callable[[], Mechanism], mechanism: Mechanism, watch: Watch) -> list[str]:
    """Put in force in a small loop: faults that only a real search brings out, and proposals that never change."""
    try:
        with watch.over("a small loop", 3 * PATIENCE):
            return judge(search_with(lambda _: make(), Guest("mechanism", "")), "mechanism")
    except StillRunning as error:
        return [f"in a small loop: {_still(error)}"]
    except Exception as error:
        if not frames(mechanism, error):
            raise  # the loop's own failure: what a guest raises in a hook is a fault
        return [f"in a small loop: {raised(mechanism, error)}"]


class _Failed(Exception):
    """A hook failed in a way that makes the other hooks' checks meaningless."""


@dataclass
class _Suite:
    """One mechanism in all situations, and what was seen over all of them."""

    make: Callable[[], Mechanism]
    hooks: tuple[str, ...]
    watch: Watch
    turned_back: list[str] = field(default_factory=list)  # a reason for each time that all drafts were; "" where not
    memories: list[Any] = field(default_factory=list)  # after each trial of the small situations
    kept: list[str] = field(default_factory=list)  # where the mechanism keeps state, though no answer shows it
    ended: bool = False  # a hook never ends: nothing more is tried

    def run(self, situations: list[Case], mechanism: Mechanism) -> list[str]:
        problems: dict[tuple[str, str], str] = {}
        for case in situations:
            for hook, kind, text in self.check(case):
                if (hook, kind) not in problems:
                    smaller = self.shrunk(case, hook, kind)
                    short = situation(smaller.trace, smaller.space.active)
                    problems[hook, kind] = f"{hook}, with {case.name} ({short}): {text}"
            if self.ended:
                break
        return [*problems.values(), *(self.over_all(mechanism) if not self.ended else [])]

    def shrunk(self, case: Case, hook: str, kind: str) -> Case:
        """The same situation after as few trials as show the problem too."""
        if self.ended or kind in ("slow", "large") or len(case.trace) > 100:
            return case
        for length in SHRINK:
            if length >= len(case.trace):
                return case
            fewer = _Suite(self.make, self.hooks, self.watch)
            if any(found[:2] == (hook, kind) for found in fewer.check(case.upto(length))):
                return case.upto(length)
        return case

    def over_all(self, mechanism: Mechanism) -> Iterator[str]:
        """What no single situation shows."""
        if self.turned_back and all(self.turned_back):
            yield (
                "propose: it turned back all of several fresh, different proposals in every situation (the reason it "
                f"gave: {self.turned_back[0]!r:.120}); compare only the parameters that a proposal changes: unchanged "
                "ones always equal earlier values"
            )
        forgot = "remember" in self.hooks and self.memories and all(memory is None for memory in self.memories)
        if forgot and not _hands_on(mechanism):
            yield "remember: it returned None after every trial, so view.memory stays None: return the new memory"

    def check(self, case: Case) -> Iterator[Found]:
        """(hook, kind, sentence) for whatever goes wrong in one case."""
        small = len(case.trace) <= 100
        first, second = self.make(), self.make()
        before, state = content_hash([*case.trace]) if small else "", state_of(first)
        memory: Any = None
        try:
            if "remember" in self.hooks:
                with self.watch.over(f"remember, with {case.name}", PATIENCE, timed=not small):
                    memory = yield from self.remembered(first, second, case, small)
            for hook in self.hooks:
                if hook != "remember":
                    with self.watch.over(f"{hook}, with {case.name}", PATIENCE):
                        yield from self.answers(first, second, hook, case, memory, small)
        except StillRunning as error:
            self.ended = True
            long = "" if small else ", or goes through the whole trace: keep running totals in remember instead"
            hook = _hook_at(self.make(), error.line) if error.line else "a hook"
            yield (hook, "endless", _still(error) + long)
            return
        except _Failed:
            return
        self.kept = self.kept or kept_state(first, state)
        if small and content_hash([*case.trace]) != before:
            text = "the records of earlier trials were changed; make new ones with dataclasses.replace"
            yield ("a hook", "mutated", text)
        if not small and (size := _length(memory)) > MOST_MEMORY:
            said = f"has {size:,} characters" if size < math.inf else "nests too deeply, or in itself, to be printed"
            yield ("remember", "large", f"the memory {said}, more than {MOST_MEMORY:,} are not allowed")
        if not small:
            yield from self.speed(case, memory)

    def answers(
        self, first: Mechanism, second: Mechanism, hook: str, case: Case, memory: Any, small: bool
    ) -> Iterator[Found]:
        view = view_of(case, memory)
        for question in questions(hook, case):
            yield from self.answer(first, second, hook, view, question, small)

    def speed(self, case: Case, memory: Any) -> Iterator[Found]:
        """Whether one call of each hook over the long trace is fast, beside this machine's own pace."""
        hooks = [hook for hook in self.hooks if hook != "remember"]
        best: dict[str, float] = {}
        for _ in range(TIMES):
            here = pace() if best else 0.0
            mechanism, view, took = self.make(), view_of(case, memory), {}
            for hook in hooks:
                began = time.thread_time()
                for question in questions(hook, case):
                    _quietly(getattr(mechanism, hook), view, *question)
                seconds = time.thread_time() - began
                took[hook] = seconds / max(here, pace()) if best or seconds > CERTAIN else seconds
            best = took if not best or sum(took.values()) < sum(best.values()) else best
            if sum(best.values()) <= SECONDS:
                return
        slowest = max(best, key=lambda hook: best[hook])
        text = (
            f"one call of each hook took more than {SECONDS:g} s of CPU time in all (as on the machine where the limit "
            "was set): keep running totals in remember instead of going through the whole trace"
        )
        yield (slowest, "slow", text)

    def remembered(self, first: Mechanism, second: Mechanism, case: Case, small: bool) -> Generator[Found, None, Any]:
        """The memory after the case's trace; a generator that yields problems and returns the memory."""
        memory: Any = None
        other: Any = None
        limit, began = 0.0, time.thread_time()
        for trial in case.trace:
            if not small and not limit and (took := time.thread_time() - began) > CERTAIN:
                limit, began = SECONDS * pace(), time.thread_time() - took
            if limit and time.thread_time() - began > TIMES * limit:
                text = f"a call for each trial took more than {TIMES * SECONDS:g} s in all, and each must take constant"
                yield ("remember", "slow", f"{text} time: keep totals and a bounded list, not all that ever was")
                raise _Failed
            saved = _copied(memory) if small else None
            try:
                after = first.remember(memory, trial)
                other = second.remember(other, trial) if small else None
            except Exception as error:
                yield ("remember", f"raised {type(error).__name__}", raised(first, error))
                raise _Failed from None
            if small and not _alike(saved, memory) and not holds_nan(memory):
                text = f"it changed the memory it was given ({saved!r:.80} became {memory!r:.80}); return a new one"
                yield ("remember", "mutated", text)
                raise _Failed
            memory = after
            if small:
                self.memories.append(memory)
        if small and holds_nan(memory):
            text = f"the memory holds nan ({memory!r:.80}), which equals nothing, itself included; use None"
            yield ("remember", "nan", text)
        elif small and not _alike(memory, other):
            text = f"two instances remember different things of one trace ({_differing(memory, other)})"
            text += "; nothing may be kept on self, in the class or in the module"
            yield ("remember", "impure", text)
        return memory

    def answer(
        self, first: Mechanism, second: Mechanism, hook: str, view: View, question: tuple[Any, ...], small: bool
    ) -> Iterator[Found]:
        before, saved = content_hash(question) if small else "", _copied(view.memory) if small else None
        try:
            answer = _tuple(getattr(first, hook)(view, *question))
            again = _tuple(getattr(first, hook)(view, *question)) if small else answer
            elsewhere = _tuple(getattr(second, hook)(view, *question)) if small else answer
        except Exception as error:
            yield (hook, f"raised {type(error).__name__}", raised(first, error))
            return
        if small and content_hash(question) != before:
            yield (hook, "mutated", "it changed its arguments; return changed copies (dataclasses.replace)")
        if small and not _alike(saved, view.memory) and not holds_nan(saved):
            yield (hook, "mutated memory", "it changed view.memory; only remember makes a memory, and always a new one")
        wrong = nonsense(hook, view, question, answer)
        if wrong:
            yield (hook, wrong, wrong + refusal_hint(wrong, answer))
            return
        if not _same(answer, again) or not _same(answer, elsewhere):
            other = again if not _same(answer, again) else elsewhere
            text = f"equal questions got different answers ({_differing(answer, other)})"
            yield (
                hook, "impure",
                f"{text}; keep nothing on self, in the class or in the module, take chance from view.rng(name), and "
                "give random_state=view.seed to what wants one",
            )  # fmt: skip
        if hook == "propose":
            yield from self.proposals(view, question, answer)
        if hook == "advise":
            yield from _check_advice(question[0], answer)

    def proposals(self, view: View, question: tuple[Any, ...], answer: tuple[Proposal, ...]) -> Iterator[Found]:
        parent, proposals = question
        old = {proposal.candidate.id for proposal in proposals}
        own = [proposal for proposal in answer if proposal.candidate.id not in old and not proposal.dropped]
        if len(own) > 2 and len({proposal.candidate.id for proposal in own}) == 1:
            values = dict(own[0].candidate.params)
            yield ("propose", "identical", f"its {len(own)} own proposals are one and the same: {values!r:.200}")
        wrong = [view.space.problems(proposal.candidate, parent) for proposal in own]
        if own and all(wrong):
            reasons = "; ".join(wrong[0][:3])
            names = "" if "there is no parameter" not in reasons else f" (there are: {', '.join(view.space.domains)})"
            yield (
                "propose", "unfit",
                f"none of its {len(own)} own proposals may be tried: {reasons}{names}; take names from "
                "view.space.active, and values from view.space.domains[name].at(0 to 1) or view.space.step",
            )  # fmt: skip
        if len(proposals) > 3 and len(view.trace) and view.space.domains:
            kept = any(not proposal.dropped for proposal in answer)
            reasons = next((proposal.dropped for proposal in answer if proposal.dropped), "none")
            self.turned_back.append("" if kept else reasons)


def _hook_at(mechanism: Mechanism, line: int) -> str:
    """The method that holds a line of a guest's text."""
    functions = {n: f.__code__ for n, f in vars(type(mechanism)).items() if hasattr(f, "__code__")}
    before = [(code.co_firstlineno, name) for name, code in functions.items() if code.co_firstlineno <= line]
    return max(before)[1] if before else "a hook"


def _check_advice(briefing: Briefing, answer: Briefing) -> Iterator[Found]:
    new = [block for block in answer.blocks if block not in briefing.blocks]
    for block in new:
        found = NOT_A_NUMBER.search(block.text)
        if found:
            text = f"the advice says {found[0]!r} ({block.text!r:.100}); leave out what is not a number"
            yield ("advise", "nan", text)


def _hands_on(mechanism: Mechanism) -> bool:
    """Whether `remember` gives back what it was given, as one does that remembers nothing on purpose."""
    case, probe = next(case for case in cases(numeric_only=True) if len(case.trace)), ("a memory",)
    try:
        return mechanism.remember(probe, case.trace[0]) is probe
    except Exception:  # it expected a memory of its own kind
        return False


def _quietly(hook: Callable[..., Any], *question: Any) -> None:
    try:
        hook(*question)
    except Exception:  # it was told where it was tried first
        return


def _differing(a: Any, b: Any) -> str:
    """Two answers, from a little before the place where their texts part."""
    one, other = repr(a), repr(b)
    same = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))
    start = max(0, same - 30)
    dots = "..." if start else ""
    return f"{dots}{one[start : start + 80]} and {dots}{other[start : start + 80]}"


def _tuple(answer: Any) -> Any:
    return tuple(answer) if isinstance(answer, list) else answer


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied cannot be compared; then the check is left out
        return value


def _alike(a: Any, b: Any) -> bool:
    """Whether two memories hold the same. Those of two instances may be of two classes, each text's own."""
    return _same(a, b) or ADDRESS.sub("", picture(a)) == ADDRESS.sub("", picture(b))


def _same(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # such as arrays, whose comparison is not one truth value
        return repr(a) == repr(b)


def _length(memory: object) -> float:
    """The characters of a memory's text; without end where it is nested too deeply, or in itself, to have one."""
    try:
        return len(repr(memory))
    except (RecursionError, ValueError):
        return math.inf
