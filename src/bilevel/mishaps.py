"""What a mechanism's process could not answer, kept with the run: on another day the same question has an answer.

A guest's own exception comes again whenever it is asked the same. A limit of time or memory, or the end of a process,
may not: it depends on the machine. So such a fault is stored when it comes, by the question, and stands for the answer
wherever that question is asked again in the run: by the other arm of a fork, after a resume, in a replay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bilevel.codec import content_hash
from bilevel.errors import Diverged, GuestError
from bilevel.mechanism import Guest, Mechanism, overridden
from bilevel.sandbox.cell import CellFault
from bilevel.sandbox.home import Memory
from bilevel.space import Candidate, Space
from bilevel.store.records import dump_record
from bilevel.trace import Trace
from bilevel.trial import Proposal, Run, Step, Trial
from bilevel.view import Briefing, View

T = TypeVar("T")
ASKED_AGAIN = ("died", "wall")  # what the machine alone may have done: asked once more, in a fresh process
NO_MEMORY = "MemoryError"  # how a guest's exception begins that came of a limit
VIEWED = ("number", "seed", "brief", "space", "settings", "pending", "trials_left", "told", "lessons", "turned_back")


@dataclass
class Mishaps:
    """The faults of a run that depend on the machine, by question.

    `known` are the faults so far, `keep` is told of each new one. `closed`: the run is over and only looked at, so that
    a new one raises Diverged. `met`: the known ones that came up. Not covered: a question that was answered, and later
    in the same run was not; a replay then ends there with the difference.
    """

    known: dict[str, str] = field(default_factory=dict)
    keep: Callable[[str, str], object] = lambda key, message: None
    closed: bool = False
    met: set[str] = field(default_factory=set)
    _hashes: dict[int, tuple[Trial, str]] = field(default_factory=dict)

    def asked(self, guest: Guest, hook: str, question: Callable[[], object], ask: Callable[[], T]) -> T:
        """What `ask` gives, or the GuestError that stands for it. `question` tells the arguments, where they matter."""
        place = self.place(guest, hook)
        if self.concern(place):
            key = place + content_hash(question())
            if key in self.known:
                self.met.add(key)
                raise GuestError(self.known[key])
        try:
            return _patiently(ask)
        except GuestError as fault:
            if depends_on_the_machine(fault):
                self._note(guest, hook, place + content_hash(question()), fault)
            raise

    @staticmethod
    def place(guest: Guest, hook: str) -> str:
        return f"{content_hash(guest.source)[:16]}/{hook}/"

    def concern(self, place: str) -> bool:
        """Whether questions to this source and hook must be told apart."""
        return any(key.startswith(place) for key in tuple(self.known))

    def _note(self, guest: Guest, hook: str, key: str, fault: GuestError) -> None:
        if self.closed:
            raise Diverged(
                f"mechanism {guest.name!r} gives no answer to {hook} here ({fault}), and gave one when the run was "
                "made: this machine is slower, smaller or busier; replay the run on one like that of the run"
            ) from fault
        self.known[key] = str(fault)
        self.keep(key, str(fault))

    def of_trial(self, trial: Trial) -> str:
        """A trial without what belongs to the machine, as a hash."""
        if id(trial) not in self._hashes:
            climbs = tuple(replace(climb, seconds=0.0) for climb in trial.climbs)
            record = dump_record(replace(trial, isolation="", climbs=climbs))
            self._hashes[id(trial)] = (trial, content_hash(record))
        return self._hashes[id(trial)][1]

    def of_view(self, view: View) -> list[object]:
        """A view without the memory, which is made of the trace."""
        below = None if view.below is None else [self.of_trace(view.below.trace), view.below.space, view.below.trials]
        return [self.of_trace(view.trace), below, {name: getattr(view, name) for name in VIEWED}]

    def of_trace(self, trace: Trace) -> list[str]:
        return [self.of_trial(trial) for trial in trace]

    def of_memory(self, memory: Any) -> list[str]:
        """The trials that a memory was made of."""
        found = []
        while isinstance(memory, Memory):
            found.append(self.of_trial(memory.trial))
            memory = memory.previous
        return found


def depends_on_the_machine(fault: GuestError) -> bool:
    """Whether another machine, or this one on another day, might have had an answer."""
    return isinstance(fault, CellFault) or str(fault).startswith(NO_MEMORY)


def _patiently(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except CellFault as fault:
        if fault.cause not in ASKED_AGAIN:
            raise
    return ask()


# ---- a mechanism whose faults are kept ----


def watched(load: Callable[[Guest], Mechanism], guest: Guest, mishaps: Mishaps) -> Mechanism:
    """A mechanism from another process, with those faults kept that depend on the machine, loading's among them."""
    made = mishaps.asked(guest, "load", lambda: guest.name, lambda: load(guest))
    hooks = {hook: getattr(_Watched, f"_{hook}") for hook in overridden(made)}
    about = {"needs": made.needs, "domain": made.domain, "__module__": f"bilevel_guest_{guest.name}"}
    kind: Callable[[Guest, Any, Mishaps], Mechanism] = type("Watched", (_Watched,), hooks | about)
    return kind(guest, made, mishaps)


class _Watched(Mechanism):
    """Its class has exactly the hooks of the mechanism behind it."""

    def __init__(self, guest: Guest, made: Any, mishaps: Mishaps) -> None:
        self.guest, self.made, self.mishaps = guest, made, mishaps

    def remember_all(self, memory: Any, trials: Sequence[Trial]) -> list[Any]:
        """As the mechanism's own, but one by one where a fault is known: it stands for one trial's memory only."""
        if not self.mishaps.concern(self.mishaps.place(self.guest, "remember")):
            answers: list[Any] = self.made.remember_all(memory, trials)
            if not any(isinstance(answer, GuestError) and depends_on_the_machine(answer) for answer in answers):
                return answers
        found: list[Any] = []
        for trial in trials:
            try:
                memory = self._remember(memory, trial)
                found.append(memory)
            except GuestError as error:
                found.append(error)
        return found

    def _remember(self, memory: Any, trial: Trial) -> Any:
        def question() -> object:
            return [self.mishaps.of_memory(memory), self.mishaps.of_trial(trial)]

        return self.mishaps.asked(self.guest, "remember", question, lambda: self.made.remember(memory, trial))

    def _asked(self, hook: str, view: View, *arguments: object) -> Any:
        def question() -> object:
            told = [self.mishaps.of_trial(one) if isinstance(one, Trial) else one for one in arguments]
            return [self.mishaps.of_view(view), told]

        return self.mishaps.asked(self.guest, hook, question, lambda: getattr(self.made, hook)(view, *arguments))

    def _select(self, view: View, parent: Candidate) -> Any:
        return self._asked("select", view, parent)

    def _advise(self, view: View, briefing: Briefing) -> Any:
        return self._asked("advise", view, briefing)

    def _constrain(self, view: View, space: Space) -> Any:
        return self._asked("constrain", view, space)

    def _propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> Any:
        return self._asked("propose", view, parent, proposals)

    def _plan(self, view: View, proposal: Proposal, partial: tuple[Run, ...], steps: tuple[Step, ...]) -> Any:
        return self._asked("plan", view, proposal, partial, steps)

    def _decide(self, view: View, trial: Trial) -> Any:
        return self._asked("decide", view, trial)
