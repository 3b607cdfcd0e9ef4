"""The left fold: mechanisms applied in order, each one's answer the next one's question, and their effect counted.

For each mechanism and hook the fold counts calls, *touched* (the answer differs from the question) and *decisive*: the
fold is run again without that hook, and the final projection is another. A hook that raises or answers nonsense is
skipped and its fault recorded; after `settings.max_faults` faults on one branch a mechanism is retired.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

from bilevel.answered import Answers
from bilevel.bounds import (
    MOST_ADVICE,
    MOST_NAME,
    MOST_PROPOSALS,
    MOST_REASON,
    MOST_STEPS,
    MOST_WHY,
    Asking,
    check_small,
)
from bilevel.call import Ask
from bilevel.codec import content_hash
from bilevel.errors import BilevelError, GuestError, HarnessError, Stopped
from bilevel.mechanism import Guest, Mechanism, overridden
from bilevel.space import Candidate, Space
from bilevel.trace import Trace
from bilevel.trial import Count, Decision, Fault, Proposal, Run, Step, Trial
from bilevel.view import Briefing, View

T = TypeVar("T")
MOST_CACHED = 128  # more than there are ever workers
NOTHING = object()


@dataclass
class Record:
    """What one ask, plan or decision adds to the ledger. `only`: the one mechanism that is counted, where not all are;
    then no other is left out to see whether it is decisive."""

    counts: dict[str, dict[str, Count]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    only: str = ""

    def add(self, name: str, hook: str, count: Count) -> None:
        if self.only and name != self.only:
            return
        hooks = self.counts.setdefault(name, {})
        hooks[hook] = hooks.get(hook, Count()) + count

    def fault(self, name: str, hook: str, error: object) -> None:
        self.add(name, hook, Count(faults=1))
        text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        self.faults.append(Fault(name, hook, text[:500]))


@dataclass(frozen=True)
class Member:
    """A mechanism in force, with the hooks that it overrides."""

    name: str
    mechanism: Mechanism
    hooks: tuple[str, ...]


@runtime_checkable
class Batched(Protocol):
    """A mechanism that lives elsewhere, where one message for many trials is cheaper than one for each."""

    def remember_all(self, memory: Any, trials: Sequence[Trial]) -> list[Any]:
        """The memory after each of several trials, as `remember` would give them one by one. Where that would raise, a
        GuestError stands in the list and the memory stays as it was."""
        ...


@dataclass(frozen=True)
class Without:
    """One hook of one mechanism that is left out; empty names leave nothing out."""

    name: str = ""
    hook: str = ""


EVERYTHING = Without()


class Fold:
    """The mechanisms of one loop, in order. Stateless but for caches of their memories, faults and `answers`: what they
    propose is asked once per question; None asks each time, as is due where a model may be behind it."""

    def __init__(
        self, guests: Sequence[tuple[Guest, Mechanism]], max_faults: int, since: int = 0, answers: Answers | None = None
    ) -> None:
        self.members = tuple(Member(guest.name, made, overridden(made)) for guest, made in guests)
        self.max_faults = max_faults
        self.answers = answers
        self.since = since  # older faults are not counted: another mechanism of that name may have been in force
        self._sources = {guest.name: content_hash(guest.source) for guest, _ in guests}
        self._memories: dict[str, dict[int, Any]] = {member.name: {0: None} for member in self.members}
        self._faults: dict[int, dict[str, int]] = {}  # length of a trace -> faults per mechanism

    def having(self, hook: str, trace: Trace, without: Without = EVERYTHING) -> Iterable[Member]:
        """The members that answer a hook: those that override it and are not retired."""
        retired = self.retired(trace)
        return [
            member
            for member in self.members
            if hook in member.hooks
            and member.name not in retired
            and (member.name, hook) != (without.name, without.hook)
        ]

    def retired(self, trace: Trace) -> frozenset[str]:
        """Names of the mechanisms with too many faults in this trace, and of those that a person retired."""
        length = len(trace)
        if length not in self._faults:
            start = _longest(self._faults, length)
            counts = dict(self._faults.get(start, {}))
            for number in range(max(start, self.since), length):
                for fault in trace[number].faults:
                    counts[fault.guest] = counts.get(fault.guest, 0) + 1
            _put(self._faults, length, counts)
        faulty = frozenset(name for name, count in self._faults[length].items() if count >= self.max_faults)
        return faulty | {name for name, source in trace.steering.retired if self._sources.get(name) == source}

    def remember(self, trace: Trace, new_from: int, record: Record) -> None:
        """Bring all memories up to a trace; trials from `new_from` on are counted in the ledger."""
        for member in self.having("remember", trace):
            memories = self._memories[member.name]
            # Trials that are counted are gone through again where they were only looked at before.
            start = _longest(memories, min(len(trace), new_from))
            memory, given = memories[start], self._given(member, memories[start], trace[start:])
            for number in range(start, len(trace)):
                counted = record if number >= new_from else Record()
                memory = self._remember_one(member, memory, trace[number], counted, next(given, NOTHING))
            _put(memories, len(trace), memory)

    def _given(self, member: Member, memory: Any, trials: list[Trial]) -> Iterator[Any]:
        """The memories after several trials in one go, from a mechanism that can tell them so; see `remember_all`."""
        if not isinstance(member.mechanism, Batched) or len(trials) < 2:
            return iter(())
        try:
            return iter(member.mechanism.remember_all(memory, trials))
        except GuestError:
            return iter(())  # then one by one, so that the fault lies where it belongs

    def _remember_one(
        self, member: Member, memory: Any, trial: Trial, record: Record, given: Any = NOTHING
    ) -> Any:  # fmt: skip
        def remembered() -> Any:
            if isinstance(given, GuestError):
                raise given
            return member.mechanism.remember(memory, trial) if given is NOTHING else given

        after = _answer(member, "remember", record, remembered)
        if after is NOTHING:
            return memory
        record.add(member.name, "remember", Count(calls=1, touched=int(not _same(after, memory))))
        return after

    def view_of(self, member: Member, view: View) -> View:
        """The view with the member's own memory; what it asks a model is asked in its name, and not without end."""
        memories = self._memories[member.name]
        asks = None if view.asks is None else Asking(member.name, view.asks)
        return replace(view, memory=memories[_longest(memories, len(view.trace))], asks=asks)

    def select(self, view: View, parent: Candidate, record: Record, without: Without = EVERYTHING) -> Candidate:
        def check(answer: object, question: Candidate) -> Candidate:
            if not isinstance(answer, Candidate):
                raise GuestError(f"select must return a Candidate, not {type(answer).__name__}")
            if answer == question:
                return question  # it may have no score: a baseline that failed
            found = view.trace.of(answer.id)
            if found is None or found.score is None:
                raise GuestError("select must return a candidate of the trace that has a score")
            return answer

        return self._fold("select", view, parent, record, without, lambda m, v, x: m.select(v, x), check)

    def constrain(self, view: View, space: Space, record: Record, without: Without = EVERYTHING) -> Space:
        def check(answer: object, question: Space) -> Space:
            if not isinstance(answer, Space):
                raise GuestError(f"constrain must return a Space, not {type(answer).__name__}")
            if answer is question:
                return question
            wider = answer.widens(question)
            if wider:
                raise GuestError(f"constrain may only narrow the space: {wider}")
            if not answer.active and question.active:
                raise GuestError("constrain must leave at least one parameter active")
            check_small(answer, "constrain")
            hash((*answer.domains.values(), *answer.frozen.values()))  # they may hold nothing that can be changed later
            if not all(cap >= 0 for cap in answer.caps.values()) or not all(w >= 0 for w in answer.weights.values()):
                raise GuestError("caps and weights must be at least 0")
            if not all(math.isfinite(number) for number in (*answer.caps.values(), *answer.weights.values())):
                raise GuestError("caps and weights must be finite")
            return answer

        return self._fold("constrain", view, space, record, without, lambda m, v, x: m.constrain(v, x), check)

    def advise(self, view: View, briefing: Briefing, record: Record, without: Without = EVERYTHING) -> Briefing:
        def check(answer: object, question: Briefing) -> Briefing:
            if not isinstance(answer, Briefing):
                raise GuestError(f"advise must return a Briefing, not {type(answer).__name__}")
            if answer is question:
                return question
            if any(not isinstance(block.text, str) or len(block.text) > 20_000 for block in answer.blocks):
                raise GuestError("a block of advice must be text of at most 20,000 characters")
            window = answer.history_window
            if sum(len(block.text) + len(str(block.source)) for block in answer.blocks) > MOST_ADVICE:
                raise GuestError(f"all blocks of advice together are text of at most {MOST_ADVICE:,} characters")
            if not isinstance(answer.guidance, str) or type(window) is not int or window < 0:
                raise GuestError("guidance must be text and the history window a whole number of at least 0")
            check_small(answer, "advise")
            hash(answer)  # it may hold nothing that can be changed later
            return answer

        return self._fold("advise", view, briefing, record, without, lambda m, v, x: m.advise(v, x), check)

    def propose(
        self,
        view: View,
        parent: Candidate,
        proposals: tuple[Proposal, ...],
        record: Record,
        dropped: Callable[[Proposal, str], None],
        without: Without = EVERYTHING,
    ) -> tuple[Proposal, ...]:
        """The proposals after all mechanisms; `dropped` is told of each one that a mechanism turned back."""
        for member in self.having("propose", view.trace, without):
            guest_view = self.view_of(member, view)
            answer = _answer(
                member,
                "propose",
                record,
                partial(self._proposed, member, guest_view, parent, proposals),
                guest_view.asks,
            )
            if answer is NOTHING:
                continue
            record.add(member.name, "propose", Count(calls=1, touched=int(answer != proposals)))
            kept = {proposal.candidate.id for proposal in answer if not proposal.dropped}
            reasons = {proposal.candidate.id: proposal.dropped for proposal in answer if proposal.dropped}
            for proposal in proposals:
                if proposal.candidate.id not in kept:
                    reason = reasons.get(proposal.candidate.id) or "dropped without a reason"
                    dropped(proposal, f"{member.name}: {reason[:MOST_REASON]}")
            proposals = tuple(proposal for proposal in answer if not proposal.dropped)
        return proposals

    def _proposed(
        self, member: Member, view: View, parent: Candidate, proposals: tuple[Proposal, ...]
    ) -> tuple[Proposal, ...]:
        def ask() -> tuple[Proposal, ...]:
            return check_proposals(member.mechanism.propose(view, parent, proposals), member.name, proposals)

        if self.answers is None:
            return ask()
        ids = tuple(proposal.candidate.id for proposal in proposals)
        key = (member.name, self._sources[member.name], parent.id, ids)
        answer: tuple[Proposal, ...] = self.answers.get(key, view, proposals, ask)
        return answer

    def plan(
        self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...], rungs: tuple[str, ...],
        record: Record, without: Without = EVERYTHING,
    ) -> tuple[Step, ...]:  # fmt: skip
        done = {(run.rung, run.seed) for run in partial}
        of_parent = {step for step in steps if step.of_parent}

        def check(answer: object, _: tuple[Step, ...]) -> tuple[Step, ...]:
            planned = tuple(answer) if isinstance(answer, list | tuple) else None
            if planned is None or not all(isinstance(step, Step) for step in planned):
                raise GuestError("plan must return a sequence of Step")
            unknown = [step.rung for step in planned if step.rung not in rungs]
            if unknown:
                raise GuestError(f"there is no rung {unknown[0]!r}; the rungs are: {', '.join(rungs)}")
            if any(type(step.seed) is not int or not 0 <= step.seed < 32 for step in planned):
                raise GuestError("the seeds of a plan are whole numbers from 0 to 31")
            own = [step for step in planned if not step.of_parent]
            if any((step.rung, step.seed) in done for step in own) or len(set(planned)) < len(planned):
                raise GuestError("plan must not repeat a run")
            if any(step.of_parent and step not in of_parent for step in planned):
                raise GuestError("only the keep rule plans runs of the parent; a mechanism may leave them out")
            seeds = {seed for _, seed in done} | view.trace.scores(proposal.candidate.id).keys()
            for trial in view.trace.measured(proposal.candidate.id):
                seeds |= {run.seed for run in trial.runs}
            for step in own:
                if step not in steps and any(seed not in seeds for seed in range(step.seed)):
                    raise GuestError(
                        "seeds are taken in their order, from 0 on: none is skipped, so that none is picked"
                    )
                seeds.add(step.seed)
            if len(planned) + len(partial) > MOST_STEPS:
                raise GuestError(f"plan allows at most {MOST_STEPS} runs per trial")
            return planned

        return self._fold("plan", view, steps, record, without, lambda m, v, x: m.plan(v, proposal, partial, x), check)

    def decide(self, view: View, trial: Trial, record: Record, without: Without = EVERYTHING) -> Decision:
        def check(answer: object, _: Decision) -> Decision:
            if not isinstance(answer, Decision):
                raise GuestError(f"decide must return a Decision, not {type(answer).__name__}")
            if not isinstance(answer.keep, bool) or not isinstance(answer.reason, str) or len(answer.reason) > 2000:
                raise GuestError("a Decision is True or False, and a reason of at most 2,000 characters")
            if answer.keep and trial.score is None:
                raise GuestError("a trial without a score cannot be kept")
            return answer

        return self._fold(
            "decide", view, trial.decision, record, without,
            lambda m, v, x: m.decide(v, replace(trial, decision=x)), check,
        )  # fmt: skip

    def count_decisive(self, hook: str, record: Record, final: object, again: Callable[[Without], object]) -> None:
        """Leave-one-out: for each mechanism whose hook touched something, whether the final projection is another
        without it. `again` runs the fold with one hook left out and returns its projection."""
        for name, hooks in list(record.counts.items()):
            if hooks.get(hook, Count()).touched and again(Without(name, hook)) != final:
                record.add(name, hook, Count(decisive=1))

    def _fold(
        self,
        hook: str,
        view: View,
        value: T,
        record: Record,
        without: Without,
        call: Callable[[Mechanism, View, T], object],
        check: Callable[[object, T], T],
    ) -> T:
        for member in self.having(hook, view.trace, without):
            guest_view = self.view_of(member, view)
            question = partial(_called, call, check, member.mechanism, guest_view, value)
            answer = _answer(member, hook, record, question, guest_view.asks)
            if answer is NOTHING:
                continue
            record.add(member.name, hook, Count(calls=1, touched=int(answer != value)))
            value = answer
        return value


def _longest(cache: dict[int, Any], length: int) -> int:
    """The greatest length in a cache that is not more than `length`; 0 if there is none."""
    return length if length in cache else max((known for known in cache if known < length), default=0)


def _put(cache: dict[int, Any], length: int, value: Any) -> None:
    """Keep a value per length of the trace; with workers the same few lengths are asked for again."""
    cache[length] = value
    if len(cache) > MOST_CACHED:
        del cache[next(known for known in cache if known and known != length)]  # the one that was put first


def _answer(member: Member, hook: str, record: Record, call: Callable[[], Any], asks: Ask | None = None) -> Any:
    """A guest's answer, or NOTHING after a fault.

    Raises what came of its questions to a model and is no fault of a guest, also where the guest caught it.
    """
    answer, fault = NOTHING, None
    try:
        answer = call()
    except (HarnessError, Stopped):  # ours, met while a guest asked for something
        raise
    except (Exception, SystemExit) as error:
        fault = str(error) if isinstance(error, BilevelError) else error
    if isinstance(asks, Asking) and asks.failure is not None:
        raise asks.failure
    if fault is not None:
        record.fault(member.name, hook, fault)
    return answer


def _called(
    call: Callable[[Mechanism, View, T], object],
    check: Callable[[object, T], T],
    guest: Mechanism,
    view: View,
    value: T,
) -> T:
    return check(call(guest, view, value), value)


def check_proposals(answer: object, author: str, known: tuple[Proposal, ...] = ()) -> tuple[Proposal, ...]:
    """What a guest proposes, if it can be compared and stored; raises GuestError otherwise. `known` ones are."""
    if not isinstance(answer, list | tuple) or not all(isinstance(item, Proposal) for item in answer):
        raise GuestError("propose must return a sequence of Proposal")
    if len(answer) > MOST_PROPOSALS:
        raise GuestError(f"propose may return at most {MOST_PROPOSALS} proposals, not {len(answer)}")
    return tuple(
        item if any(item is old for old in known) else _check_proposal(item, item.author or author) for item in answer
    )


def _check_proposal(proposal: Proposal, author: str) -> Proposal:
    if not isinstance(proposal.candidate, Candidate):
        raise GuestError(f"a Proposal needs a Candidate, not {type(proposal.candidate).__name__}")
    if not all(isinstance(text, str) for text in (proposal.why, author, proposal.dropped)):
        raise GuestError("why, author and dropped must be text")
    if len(author) > MOST_NAME or len(proposal.why) > MOST_WHY:
        raise GuestError(f"author is a text of at most {MOST_NAME}, why one of at most {MOST_WHY:,} characters")
    if any(isinstance(value, int) and value.bit_length() > 1000 for value in proposal.candidate.params.values()):
        raise GuestError("a whole number of a candidate is too long to be computed with")
    if type(proposal.repeats) is not int or proposal.repeats < 0:
        raise GuestError(f"repeats must be a whole number of at least 0, not {proposal.repeats!r}")
    if not all(isinstance(text, str) for text in proposal.candidate.files.values()):
        raise GuestError("the files of a candidate must be text")
    check_small(proposal, "propose")
    check_small(proposal.notes, "propose (notes)", MOST_WHY)
    return proposal if proposal.author == author else replace(proposal, author=author)


def _same(a: object, b: object) -> bool:
    try:
        return bool(a is b or a == b)
    except Exception:  # a guest's own objects may not be comparable; then they count as different
        return False
