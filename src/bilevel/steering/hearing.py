"""What a run hears from persons: it looks into its own store, and writes there what became of each act."""

import json
import re
import threading
import time

from bilevel.acts import ANSWERS, LIMITS, REFUSED, TAKEN, Act, Effect
from bilevel.budget import Limits
from bilevel.errors import LimitReached, Stopped
from bilevel.lab import Lab, Question, limit_text
from bilevel.persons import refusal_of
from bilevel.recipe import GateTable
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import SqliteStore, append_act

LOOK = 0.2  # seconds between two looks while the run is paused
ASKING = "asking"  # the fact that says which trial was asked for last, and which act was the last one then
TELLING = "telling"  # the same of the trial of an outer loop that was decided last
GATE = "gate"  # the fact of a run folder that says what waits for a person
OUTERMOST, ROOT = "outermost", "root"  # the level whose keeps alone may wait, and the branch that it searches on
TIME_OUT = "time-out"  # who says no where nobody answers
ENDED = "the search had ended before it could be taken up"
_ARM = re.compile(r"\.(?!only\b|challenger\b)[^/.]+(?=/|$)")


class Hearing:
    """What the loops of a run are told (`lab.Steers`); `lab` is set as soon as there is one.

    A pause is in force until it is taken back, also over the end of the process. A stop ends one session: it is taken
    up when the process has written that it was.
    """

    def __init__(self, folder: RunFolder[SqliteStore], gate: GateTable) -> None:
        self.folder, self.store, self.gate = folder, folder.store, gate
        self.lab: Lab | None = None
        self._paused, self._shown = False, "running"
        self._spending: Question | None = None
        self._place = (ROOT, 0)  # the trial before which the run was looked after last
        self._books = threading.RLock()  # one look at the acts at a time
        self._one = threading.RLock()  # one question at a time: models are asked from several threads
        self._waited = 0.0  # seconds, for the answer to the question that is open
        effects = self.store.effects()
        self._refused = {effect.act for effect in effects if effect.outcome == REFUSED}
        self._heard = {effect.act for effect in effects}
        self._allowed = set[str]()  # what a person allowed to spend, as far as it was asked for
        self._asked: tuple[str, int, int] = tuple(folder.meta(ASKING) or ("", 0, 0))
        self._told: tuple[str, int, int] = tuple(folder.meta(TELLING) or ("", 0, 0))
        self._seen = 0
        self._version, self._acts = -1, list[Act]()
        for act in self._look():
            if act.number in self._heard:
                self._pause(act)

    def due(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """The acts for a loop that its trial does not know; of one whose ask was broken off, those of that time."""
        with self._books:
            acts = self._for(level, branch, number, known)
            self._seen = max((act.number for act in self._acts), default=0)
        if (branch, number) == self._asked[:2]:
            self._seen = min(self._seen, self._asked[2])
        return tuple(act for act in acts if act.number <= self._seen)

    def asking(self, branch: str, number: int) -> None:
        """Note how many acts there were when a trial was asked for: it outlives the process, not a power cut."""
        self._asked = (branch, number, self._seen)
        self.store.put_meta_soon(ASKING, json.dumps(self._asked))

    def _for(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """The acts for a loop that its trial does not know. All arms of a fork take up an act with the same trial: what
        comes while the first one searches. What comes later waits for the end of the fork."""
        known |= self._refused
        acts = [act for act in self._look() if level in act.levels and act.number not in known]
        leader = leader_of(branch)
        if acts and leader != branch:
            led = self.store.taken_with(leader, number)
            acts = [act for act in acts if act.number in led]
        return tuple(acts)

    @property
    def paused(self) -> bool:
        """Whether nothing new may begin: by a person's word, or as long as nobody has allowed to spend more."""
        return self._paused or self._spending is not None

    def late(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """Of what came while a trial ran: what was said of mechanisms."""
        with self._books:
            acts = self._for(level, branch, number, known)
            last = max((act.number for act in self._acts), default=0)
        if (branch, number) != self._told[:2]:
            self._told = (branch, number, last)
            self.store.put_meta_soon(TELLING, json.dumps(self._told))
        return tuple(act for act in acts if act.kind in ("pin", "retire") and act.number <= self._told[2])

    def attend(self, branch: str, number: int) -> None:
        """Take up what concerns the run itself: a pause, its end, a stop, and what all models may spend."""
        with self._one:
            self._place = (branch, number)
            self._take_up(branch, number, self._asked[2] if (branch, number) == self._asked[:2] else None)
            self._held_back()
            self._show("gate" if self._spending is not None else "paused" if self._paused else "running")

    def spend(self) -> None:
        """Return when more may be spent; within a trial nothing else is taken up, but while a person is waited for."""
        assert self.lab is not None
        with self._one:
            while (question := self._held_back()) is not None:
                if self.lab.stop.is_set():
                    raise Stopped(f"stopped while it waited for a person ({question.said}); the gate is closed")
                self.wait()
                self._take_up(*self._place)

    def _take_up(self, branch: str, number: int, last: int | None = None) -> None:
        """What concerns the run, up to the act `last`: those after it came while that trial was asked for already."""
        assert self.lab is not None
        for act in self._look():
            if act.levels or act.kind in ANSWERS or act.number in self._heard:
                continue
            if last is not None and act.number > last:
                break
            problem = self._limit(act) if act.kind == "budget" else ""
            self._write(act, branch, number, REFUSED if problem else TAKEN, problem)
            self._pause(act)
            if act.kind == "stop":
                self.lab.stop.set()

    def _show(self, state: str) -> None:
        if state != self._shown:
            self._shown = state
            self.folder.set_meta("state", state)

    # ---- the gate ----

    def answer(self, question: Question) -> Act | None:
        """A person's answer to what the recipe lets wait for one. Waiting is no time of the run."""
        assert self.lab is not None
        asks = getattr(self.gate, question.kind)
        if not asks or (asks == OUTERMOST and question.branch != ROOT):
            return None
        with self._one:
            while (act := self._answered(question)) is None:
                if self.lab.stop.is_set():
                    raise Stopped(f"stopped while it waited for a person ({question.said}); the gate is closed")
                self._open(question)
                self.wait()
                self._take_up(question.branch, question.number)
            self._taken_back(question, act)
            self._close("paused" if self._paused else "running")
        return act

    def _taken_back(self, question: Question, by: Act) -> None:
        """Say of earlier answers to a question that another one counts."""
        given = [act for act in self._look() if act.kind in ANSWERS and act.what == question.id]
        for act in given:
            if act.number < by.number and act.number not in self._heard:
                self._write(act, question.branch, question.number, REFUSED, f"act {by.number} took it back")

    def _held_back(self) -> Question | None:
        """The question that must be answered before more is spent; it is opened. Raises LimitReached where the answer
        is no."""
        while (question := self._spending or self._passed()) is not None:
            self._spending = question
            act = self._answered(question)
            if act is None:
                self._open(question)
                return question
            if act.number not in self._heard:
                self._write(act, *self._place, TAKEN, "")
                self._taken_back(question, act)
            if act.kind == "reject":
                raise LimitReached(
                    f"the gate is closed: {question.said} {refusal_of(act)}; `bilevel steer approve RUN` opens it, and "
                    "`bilevel resume RUN` goes on"
                )
            self._allowed.add(question.id)
            self._spending = None
            self._close("paused" if self._paused else "running")
        return None

    def _passed(self) -> Question | None:
        """The first sum that is spent and that nobody was asked about."""
        for name, most in self._steps().items():
            step = int(self._spent(name) // most)
            question = Question("spend", name, step, f"{amount(name, step * most)} are spent: may the run go on?")
            if step > 0 and question.id not in self._allowed:
                return question
        return None

    def _steps(self) -> dict[str, float]:
        table = {name: getattr(self.gate, name) for name in ("evaluations", *LIMITS)}
        return {name: most for name, most in table.items() if most is not None}

    def _spent(self, name: str) -> float:
        assert self.lab is not None
        return self.lab.seconds if name == "seconds" else float(getattr(self.lab.meter.spent, name))

    def _answered(self, question: Question) -> Act | None:
        """The last answer to a question: a later one takes an earlier one back, as long as it is not taken up."""
        given = [act for act in self._look() if act.kind in ANSWERS and act.what == question.id]
        return given[-1] if given else None

    def _open(self, question: Question) -> None:
        """Say what is waited for; no answer in time is no."""
        asked = self.folder.meta(GATE)
        if asked is None or asked["id"] != question.id:
            about = {"id": question.id, "kind": question.kind, "said": question.said, "at": time.time()}
            self.folder.set_meta(GATE, about)
            self._waited = 0.0
        self._show("gate")
        if self.gate.wait is not None and self._waited >= self.gate.wait:
            said = f"nobody answered within {self.gate.wait:g} seconds"
            append_act(self.folder.path, Act(0, "reject", question.id, said, author=TIME_OUT, at=time.time()))

    def _close(self, state: str) -> None:
        self.folder.set_meta(GATE, None)
        self._show(state)

    def wait(self) -> None:
        """Return when somebody asks the process to stop, and else after a moment, which is no time of the run."""
        assert self.lab is not None
        began = time.monotonic()
        self.nap()
        waited = time.monotonic() - began
        self._waited += waited
        self.lab.leave_out(waited)

    def nap(self) -> None:
        """Return after a moment, or when somebody asks the process to stop."""
        assert self.lab is not None
        self.lab.stop.wait(LOOK)

    def settle(self, branch: str, number: int, levels: bool = True) -> None:
        """The search has ended, or (not `levels`) the run: what was not taken up is too late, but for a budget, which a
        resume may go on with. What concerns the run itself is not too late before its end."""
        taken = {effect.act for effect in self.store.effects()}
        for act in self._look():
            if (act.levels or not levels) and act.kind != "budget" and act.number not in taken:
                self._refused.add(act.number)
                self._write(act, branch, number, REFUSED, ENDED)

    def stopped(self) -> None:
        """The session has ended by a stop: whoever else asked for one has what was asked for."""
        for act in self._look():
            if act.kind == "stop" and act.number not in self._heard:
                self._write(act, *self._place, TAKEN, "")

    def _look(self) -> list[Act]:
        """All acts; they are read again only where another process has written."""
        with self._books:
            version = self.store.written_by_others()
            if version != self._version:
                self._version, self._acts = version, self.store.acts()
            return self._acts

    def _write(self, act: Act, branch: str, number: int, outcome: str, said: str) -> None:
        self.store.add_effect(Effect(act.number, branch, number, outcome, said, time.time()))
        self._heard.add(act.number)

    def _pause(self, act: Act) -> None:
        if act.kind in ("pause", "resume"):
            self._paused = act.kind == "pause"

    def _limit(self, act: Act) -> str:
        """Put a limit of the whole run in force; or why it cannot be."""
        lab = self.lab
        assert lab is not None and act.what in LIMITS and act.value is not None
        value = act.value if act.what != "tokens" else int(act.value)
        spent = {"seconds": lab.seconds, "tokens": lab.meter.spent.tokens, "money": lab.meter.spent.money}[act.what]
        if value < spent:
            return f"{limit_text(act.what, round(spent, 2))} were spent by then"
        limits = Limits(**{**vars(lab.limits), act.what: value})
        self.folder.set_meta("limits", {name: getattr(limits, name) for name in LIMITS})
        lab.set_limits(limits)
        return ""


def amount(name: str, value: float) -> str:
    """A sum of a budget with its unit."""
    return f"{value:,.12g} measurements" if name == "evaluations" else limit_text(name, value)


def leader_of(branch: str) -> str:
    """The branch whose trials an arm of a fork takes its acts from: the same place in the arm that searches first."""
    return _ARM.sub(".challenger", branch)
