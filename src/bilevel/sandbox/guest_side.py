"""In the sandbox: mechanisms are loaded, their hooks called, their memories kept.

A request is [epoch, fresh, gone, news, question]: the number of the host's account of this process, whether that
account begins with this request, the numbers of memories and mechanisms that nobody needs any more, what the process
must learn, and what it is asked. A reply is one of

    ["same"]           the answer is the question itself
    ["is", data]       the answer
    ["raised", text]   the guest raised, or answered what cannot be sent
    ["ours", text]     something failed in which the guest had no line; the host looks whether that is so
    ["lost"]           this process does not know what the host believes that it knows
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from bilevel.call import Reply, Request
from bilevel.errors import BilevelError, ContextOverflow, GuestError, UnusableReply
from bilevel.mechanism import Guest, Mechanism, load, overridden
from bilevel.sandbox.mirror import Mirrored
from bilevel.sandbox.wire import WireError
from bilevel.space import Candidate, Domain, Space
from bilevel.trial import Decision, Proposal, Run, Step, Trial
from bilevel.view import Briefing, View

Ask = Callable[[Any], Any]
MOST_ANSWERS = 1_000  # proposals or steps of one answer; the fold takes far fewer
MOST_SAID = 300  # characters of an error; a stored fault has room for 500, and the line must be among them
ERRORS = {kind.__name__: kind for kind in (GuestError, ContextOverflow, UnusableReply)}


class GuestSide:
    """The mechanisms of one source in one process; `handle` answers the host's requests one after the other."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._host: Ask | None = None
        self._forget()

    def _forget(self) -> None:
        self.known = Mirrored(self.ask)
        self.mechanisms: dict[int, Mechanism] = {}
        self.sources: dict[int, Guest] = {}
        self.memories: dict[int, Any] = {}

    def handle(self, request: Any, ask: Ask) -> list[Any]:
        """The reply to one request."""
        epoch, fresh, gone, news, question = request
        if fresh:
            self._epoch = epoch
            self._forget()
        if epoch != self._epoch:
            return ["lost"]
        for kind, number in gone:
            (self.memories if kind == "memory" else self.mechanisms).pop(number, None)
        self._host = ask
        try:
            self.known.take(news)
            return ["same"] if question is None else _QUESTIONS[question[0]](self, *question[1:])
        finally:
            self._host = None

    def ask(self, question: list[Any]) -> Any:
        """The host's answer to a question. Raises the GuestError that it answers with."""
        if self._host is None:
            raise GuestError("nothing can be asked of the host after a hook has ended")
        kind, *answer = self._host(question)
        if kind == "is":
            return answer[0]
        raise ERRORS[answer[0]](answer[1])

    def load(self, number: int, name: str, source: str) -> list[Any]:
        """Make a mechanism of a source text; answers with its hooks and what it declares."""
        guest = Guest(name, source)
        self.sources[number] = guest
        try:
            made = load(guest)
        except GuestError as error:
            return ["raised", f"{error}{_place(guest, error.__cause__)}"]
        except BaseException as error:
            return ["raised", f"mechanism {name!r} cannot be loaded: {said(guest, error)}"]
        self.mechanisms[number] = made
        return ["is", [list(overridden(made)), *_declared(made)]]

    def remember(self, number: int, memory: int | None, trials: list[int], new: int) -> list[Any]:
        """Fold trials into a memory, which is then known as `new`; for each trial whether it changed (1) or not (0), or
        what was raised."""
        now = self.memory(memory)
        outcomes: list[int | str] = []
        for seen in [self.known.trials[trial] for trial in trials]:
            try:
                after = self.mechanisms[number].remember(now, seen)
            except BaseException as error:
                outcomes.append(said(self.sources[number], error))
                continue
            changed = not _same(after, now)
            outcomes.append(int(changed))
            now = after if changed else now
        if 1 in outcomes:
            self.memories[new] = now
        return ["is", outcomes]

    def memory(self, number: int | None) -> Any:
        """The memory that the host names."""
        return None if number is None else self.memories[number]

    def hook(self, name: str, number: int, view: list[Any], memory: int | None, arguments: list[Any]) -> list[Any]:
        """A hook's answer."""
        try:
            seen = self.known.view(view, self.memory(memory), self._asks)
            return _HOOKS[name](self, self.mechanisms[number], seen, *arguments)
        except BaseException as error:
            guest = self.sources[number]
            guests = isinstance(error, BilevelError) or _place(guest, error)
            return ["raised" if guests else "ours", said(guest, error)]

    def _asks(self, request: Request, purpose: str, seed: int, repeat: int) -> Reply:
        """A model's reply, by way of the host, which derives the seed itself."""
        wire = self.known.wire
        if not isinstance(purpose, str) or type(repeat) is not int:
            raise GuestError("view.call needs a Request, a purpose that is text, and a whole number of repeats")
        answer = self.ask(["call", wire.pack(Request)(request), str(purpose), repeat])
        reply: Reply = wire.unpack(Reply)(answer)
        return reply

    # ---- one method per hook: the arguments as they were, the answer as it must be ----

    def _select(self, guest: Mechanism, view: View, parent: str) -> list[Any]:
        question = self.known.candidates[parent]
        answer = guest.select(view, question)
        if answer is question:
            return ["same"]
        return ["is", self.known.candidate_out(_typed("select", Candidate, "a Candidate", answer))]

    def _advise(self, guest: Mechanism, view: View, briefing: Any) -> list[Any]:
        question = self.known.wire.unpack(Briefing)(briefing)
        answer = guest.advise(view, question)
        if answer is question:
            return ["same"]
        return ["is", self.known.wire.pack(Briefing)(_typed("advise", Briefing, "a Briefing", answer))]

    def _constrain(self, guest: Mechanism, view: View, space: int) -> list[Any]:
        question: Space = self.known.slots[space]
        answer = guest.constrain(view, question)
        if answer is question:
            return ["same"]
        _typed("constrain", Space, "a Space", answer)
        domain = self.known.wire.pack(Domain)
        new = {name: domain(one) for name, one in answer.domains.items() if one is not question.domains.get(name)}
        order = None if list(answer.domains) == list(question.domains) else list(answer.domains)
        wire = self.known.wire.pack(Space)(Space({}, answer.frozen, answer.caps, answer.weights))
        return ["is", [order, new, *wire[1:]]]

    def _propose(self, guest: Mechanism, view: View, parent: str, proposals: list[Any]) -> list[Any]:
        pack, unpack = self.known.wire.pack(Proposal), self.known.wire.unpack(Proposal)
        question = tuple([unpack(proposal) for proposal in proposals])
        answer = guest.propose(view, self.known.candidates[parent], question)
        if answer is question:
            return ["same"]
        items = _sequence("propose", Proposal, answer)
        places = {id(proposal): place for place, proposal in enumerate(question)}
        return ["is", [places[id(item)] if id(item) in places else pack(item) for item in items]]

    def _plan(self, guest: Mechanism, view: View, proposal: Any, partial: list[Any], steps: list[Any]) -> list[Any]:
        wire = self.known.wire
        question = wire.unpack(tuple[Step, ...])(steps)
        answer = guest.plan(view, wire.unpack(Proposal)(proposal), wire.unpack(tuple[Run, ...])(partial), question)
        if answer is question:
            return ["same"]
        return ["is", [wire.pack(Step)(step) for step in _sequence("plan", Step, answer)]]

    def _decide(self, guest: Mechanism, view: View, trial: Any) -> list[Any]:
        question = self.known.wire.unpack(Trial)(trial)
        answer = guest.decide(view, question)
        if answer is question.decision:
            return ["same"]
        return ["is", self.known.wire.pack(Decision)(_typed("decide", Decision, "a Decision", answer))]


_QUESTIONS: dict[str, Callable[..., list[Any]]] = {
    "load": GuestSide.load,
    "remember": GuestSide.remember,
    "hook": GuestSide.hook,
}
_HOOKS: dict[str, Callable[..., list[Any]]] = {
    "select": GuestSide._select,
    "advise": GuestSide._advise,
    "constrain": GuestSide._constrain,
    "propose": GuestSide._propose,
    "plan": GuestSide._plan,
    "decide": GuestSide._decide,
}


def said(guest: Guest, error: BaseException) -> str:
    """An error in a sentence: what it says, and the line of the guest's own source that it comes from."""
    try:
        text = str(error)
    except Exception as failure:  # an error of the guest's own, which cannot even say what it is
        text = f"(it cannot be printed: {type(failure).__name__})"
    if not isinstance(error, BilevelError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{text if len(text) <= MOST_SAID else f'{text[:MOST_SAID]} …'}{_place(guest, error)}"


def _place(guest: Guest, error: BaseException | None) -> str:
    """The innermost line of the guest's source in a traceback, in brackets; empty where there is none."""
    line, frame = 0, error.__traceback__ if error is not None else None
    while isinstance(frame, TracebackType):
        if frame.tb_frame.f_code.co_filename == f"<mechanism {guest.name}>":
            line = frame.tb_lineno
        frame = frame.tb_next
    if not line:
        return ""
    lines = guest.source.splitlines()
    text = lines[line - 1].strip() if line <= len(lines) else ""
    return f" (line {line}{f': {text[:120]}' if text else ''})"


def _declared(mechanism: Any) -> list[Any]:
    """`needs` as a list and `domain`, or None for one that is not what it must be."""
    needs, domain = mechanism.needs, mechanism.domain
    good = isinstance(needs, frozenset) and all(isinstance(need, str) for need in needs)
    return [
        sorted(map(str, needs)) if good else None,
        str(domain) if isinstance(domain, str) else None,
    ]


def _typed(hook: str, kind: Any, name: str, answer: Any) -> Any:
    if not isinstance(answer, kind):
        raise WireError(f"{hook} must return {name}, not {type(answer).__name__}")
    return answer


def _sequence(hook: str, kind: Any, answer: Any) -> Any:
    if not isinstance(answer, list | tuple) or not all(isinstance(item, kind) for item in answer):
        raise WireError(f"{hook} must return a sequence of {kind.__name__}")
    if len(answer) > MOST_ANSWERS:
        raise WireError(f"{hook} may return at most {MOST_ANSWERS:,} of {kind.__name__}, not {len(answer):,}")
    return answer


def _same(a: Any, b: Any) -> bool:
    """As the fold compares memories."""
    try:
        return bool(a is b or a == b)
    except Exception:
        return False


_HERE = GuestSide()
handle = _HERE.handle
