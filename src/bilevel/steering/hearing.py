"""What a run hears from persons: it looks into its own store, and writes there what became of each act."""

import re
import time

from bilevel.acts import LIMITS, REFUSED, TAKEN, Act, Effect
from bilevel.budget import Limits
from bilevel.lab import Lab, limit_text
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import SqliteStore

LOOK = 0.2  # seconds between two looks while the run is paused
ENDED = "the search had ended before it could be taken up"
_ARM = re.compile(r"\.(?!only\b|challenger\b)[^/.]+(?=/|$)")


class Hearing:
    """What the loops of a run are told (`lab.Steers`); `lab` is set as soon as there is one.

    A pause is in force until it is taken back, also over the end of the process. A stop ends one session: it is taken
    up when the process has written that it was.
    """

    def __init__(self, folder: RunFolder[SqliteStore]) -> None:
        self.folder, self.store = folder, folder.store
        self.lab: Lab | None = None
        self.paused = self._shown = False
        effects = self.store.effects()
        self._refused = {effect.act for effect in effects if effect.outcome == REFUSED}
        self._heard = {effect.act for effect in effects}
        self._version, self._acts = -1, list[Act]()
        for act in self._look():
            if act.number in self._heard:
                self._pause(act)

    def due(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """The acts for a loop that its trial does not know. All arms of a fork take up an act with the same trial: what
        comes while the first one searches. What comes later waits for the end of the fork."""
        known |= self._refused
        acts = [act for act in self._look() if level in act.levels and act.number not in known]
        leader = leader_of(branch)
        if acts and leader != branch:
            led = self.store.taken_with(leader, number)
            acts = [act for act in acts if act.number in led]
        return tuple(acts)

    def late(self, level: str, branch: str, number: int, known: frozenset[int]) -> tuple[Act, ...]:
        """Of what came while a trial ran: what was said of mechanisms."""
        return tuple(act for act in self.due(level, branch, number, known) if act.kind in ("pin", "retire"))

    def attend(self, branch: str, number: int) -> None:
        """Take up what concerns the run itself: a pause, its end, a stop, and what all models may spend."""
        assert self.lab is not None
        for act in self._look():
            if act.levels or act.number in self._heard:
                continue
            problem = self._limit(act) if act.kind == "budget" else ""
            self._write(act, branch, number, REFUSED if problem else TAKEN, problem)
            self._pause(act)
            if act.kind == "stop":
                self.lab.stop.set()
        if self._shown != self.paused:
            self._shown = self.paused
            self.folder.set_meta("state", "paused" if self.paused else "running")

    def wait(self) -> None:
        """Return when somebody asks the process to stop, and else after a moment, which is no time of the run."""
        assert self.lab is not None
        began = time.monotonic()
        self.lab.stop.wait(LOOK)
        self.lab.leave_out(time.monotonic() - began)

    def settle(self, branch: str, number: int) -> None:
        """The search has ended: what was not taken up is too late, but for a budget, which a resume may go on with."""
        taken = {effect.act for effect in self.store.effects()}
        for act in self._look():
            if act.levels and act.kind != "budget" and act.number not in taken:
                self._refused.add(act.number)
                self._write(act, branch, number, REFUSED, ENDED)

    def _look(self) -> list[Act]:
        """All acts; they are read again only where another process has written."""
        version = self.store.written_by_others()
        if version != self._version:
            self._version, self._acts = version, self.store.acts()
        return self._acts

    def _write(self, act: Act, branch: str, number: int, outcome: str, said: str) -> None:
        self.store.add_effect(Effect(act.number, branch, number, outcome, said, time.time()))
        self._heard.add(act.number)

    def _pause(self, act: Act) -> None:
        if act.kind in ("pause", "resume"):
            self.paused = act.kind == "pause"

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


def leader_of(branch: str) -> str:
    """The branch whose trials an arm of a fork takes its acts from: the same place in the arm that searches first."""
    return _ARM.sub(".challenger", branch)
