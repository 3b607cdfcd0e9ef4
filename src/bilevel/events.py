"""A person's commands on what happens to a run: finished, failed, a new best, a budget nearly spent, stuck, a
question at its gate, a mechanism that comes or goes, an act that is taken up.

A thread looks at the store, as the live view does: the loops know nothing of it, and what a command (`notices.py`)
does, fails at or takes too long over reaches the run only as an event in its store.
"""

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from bilevel.call import Event
from bilevel.errors import BilevelError, LimitReached, Stopped
from bilevel.lab import UNITS, Lab, limit_text
from bilevel.length import planned_now
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.news import Mechanisms, News, of_acts
from bilevel.notices import Notice, call, commands_in
from bilevel.recipe import EventsTable, Recipe
from bilevel.steering.hearing import GATE
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.store.sqlite import SqliteStore
from bilevel.trial import Trial

META = "events"  # the fact of a run folder that says what was seen, and which events were sent
KIND = "command"  # of the events in the store that say how a command ended
PERIOD = 0.25  # seconds between two looks


@dataclass
class Standing:
    """What was seen of a run: how many innermost trials, the best so far, and when it came."""

    trials: int = 0
    evaluations: int = 0
    baseline: float | None = None
    best: tuple[str, Trial] | None = None
    before: float | None = None  # the best score before that
    at: int = 0  # how many trials there were when the best came


@dataclass
class Telling:
    """A context in which the commands of a run are called for what happens to it; nothing without a command."""

    folder: RunFolder[SqliteStore]
    spec: LoopSpec
    lab: Lab
    table: EventsTable
    _stands: Standing = field(default_factory=Standing)
    _seen: dict[str, int] = field(default_factory=dict)
    _sent: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _news: list[News] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._mechanisms = Mechanisms(self.spec)
        self._thread = threading.Thread(target=self._watch, name="events", daemon=True)
        self._reader: Reader | None = None

    def __enter__(self) -> "Telling":
        if not self.table.commands:
            return self
        self._reader = Reader(self.folder.path)
        known = self.folder.meta(META)
        until = None if known is None else {str(k): int(v) for k, v in known["seen"].items()}
        if until is not None and "outer" not in known:  # an older version saw nothing of outer loops
            inner = leaf(self.spec).name
            until |= {branch.id: sys.maxsize for branch in self._reader.branches() if branch.level != inner}
        self._sent = set() if known is None else set(known["sent"])
        self._take_in(until)
        if known is None or "outer" not in known:  # what was there before there were commands is no news
            self._sent |= {one.key for one in (*self._news, *self._of_acts())}
            self._save()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is None:
            return
        self._stop.set()
        self._thread.join()
        with suppress(BilevelError, OSError):  # what ended the run is what its caller is told
            self._look()
        with suppress(BilevelError, OSError):  # how it ended is told also where the last look fails
            if error is None:
                state = str(self.folder.meta("state"))
                said = f"ended ({state}), {self._best_said()} after {self._stands.trials} trials"
                self._send("finished", f"finished {state} {self._stands.trials}", said, {"state": state})
            elif isinstance(error, Exception) and (not isinstance(error, Stopped) or isinstance(error, LimitReached)):
                said = str(error) if isinstance(error, BilevelError) else f"{type(error).__name__}: {error}"
                times = sum(key.startswith("failed ") for key in self._sent)  # each session may fail, and each says so
                self._send("failed", f"failed {self._stands.trials} {times}", f"failed: {said}", {"error": said})
        self._reader.close()

    # ---- what happens ----

    def _watch(self) -> None:
        with suppress(BilevelError, OSError):  # a store that fails fails the run too, which says so
            while not self._stop.wait(PERIOD):
                self._look()

    def _look(self) -> None:
        """Take in what is new, and send what follows from it; of several new bests only the last."""
        self._send_gate()
        before = self._stands.best
        if self._take_in(None):
            self._save()
        best = self._stands.best
        if best is not None and before is not best and best[1].number > 0:
            self._send_best(*best)
        self._send_budget()
        self._send_stuck()
        news, self._news = [*self._news, *self._of_acts()], []
        for one in news:
            self._send(one.event, one.key, one.message, one.facts)

    def _of_acts(self) -> list[News]:
        assert self._reader is not None
        return of_acts(self._reader.acts(), self._reader.effects())

    def _take_in(self, until: Mapping[str, int] | None) -> bool:
        """Whether there were new trials; of those that an earlier session saw, no more than `until` says."""
        assert self._reader is not None
        stands, new, inner = self._stands, False, leaf(self.spec)
        for branch in self._reader.branches():
            for trial in self._reader.trials(branch.id, after=self._seen.get(branch.id, branch.at - 1)):
                if until is not None and trial.number > until.get(branch.id, -1):
                    break
                new, self._seen[branch.id] = True, trial.number
                if branch.level != inner.name:
                    self._news += self._mechanisms.after(branch, trial)
                    continue
                stands.trials += 1
                stands.evaluations += trial.cost.evaluations
                if trial.score is None or not trial.contends:
                    continue
                best = None if stands.best is None else stands.best[1].score
                stands.baseline = trial.score if stands.baseline is None else stands.baseline
                if best is None or inner.task.objective.better(trial.score, best):
                    stands.before, stands.best, stands.at = best, (branch.id, trial), stands.trials
        return new

    def _send_best(self, branch: str, trial: Trial) -> None:
        objective, before = leaf(self.spec).task.objective, self._stands.before
        assert trial.score is not None
        gain = None if before is None else objective.gain(before, trial.score)
        said = "" if gain is None else f", {gain:.4g} better than the best before"
        changes = {name: [_plain(change.old), _plain(change.new)] for name, change in trial.changes.items()}
        self._send(
            "best", f"best {branch}:{trial.number}",
            f"new {self._best_said()} (trial {trial.number}{said})",
            {"gain": gain, "changes": changes, "author": trial.proposal.author},
        )  # fmt: skip

    def _send_budget(self) -> None:
        if not self.table.budget:
            return
        spent = self.lab.limits.shares(self.lab.meter.spent, self.lab.seconds)
        limits = {name: limit_text(name, getattr(self.lab.limits, name)) for name in UNITS if name in spent}
        assert self._reader is not None
        planned = planned_now(self._reader, self.spec)
        if planned:
            spent["measurements"] = self._stands.evaluations / planned
            limits["measurements"] = f"{planned:,} measurements"
        for name, share in spent.items():
            passed = [warned for warned in sorted(self.table.shares) if share >= warned]
            keys = [f"budget {limits[name]} {warned}" for warned in passed]
            if not keys or keys[-1] in self._sent:
                continue
            self._sent |= {*keys[:-1]}  # only the highest of those that were passed at once
            self._send(
                "budget", keys[-1], f"{share:.0%} of the {limits[name]} that it may take are spent",
                {"budget": name, "share": share, "of": limits[name]},
            )  # fmt: skip

    def _send_stuck(self) -> None:
        best, since = self._stands.best, self._stands.trials - self._stands.at
        if best is None or since < self.table.stuck_after:
            return
        self._send(
            "stuck", f"stuck {best[0]}:{best[1].number}", f"{since} trials without a new best", {"since_best": since}
        )

    def _send_gate(self) -> None:
        assert self._reader is not None
        asked = json.loads(self._reader.get_meta(GATE) or "null")
        if asked is not None:
            facts = {"question": asked["id"], "kind": asked["kind"]}
            self._send("gate", f"gate {asked['id']}", f"waits for a person: {asked['said']}", facts)

    # ---- the command ----

    def _send(self, event: str, key: str, message: str, facts: Mapping[str, Any]) -> None:
        """Call an event's command, once for each key; that it was called is stored before it is."""
        if key in self._sent:
            return
        self._sent.add(key)
        if not getattr(self.table, event):
            return
        self._save()
        best = self._stands.best
        notice = Notice(
            event, message, self.folder.path, {**self._facts(), **facts}, None if best is None else best[1].score
        )
        said = call(self.table, notice, self.lab.redact, self.lab.cancel)
        self.lab.store.add_event(Event(time.time(), KIND, "", said))

    def _best_said(self) -> str:
        best, name = self._stands.best, leaf(self.spec).task.objective.name
        return "no score" if best is None else f"best {name} {best[1].score:.6g}"

    def _facts(self) -> dict[str, Any]:
        task, stands, best = leaf(self.spec).task, self._stands, self._stands.best
        return {
            "run": str(self.folder.path.resolve()),
            "recipe": self.folder.config["recipe"]["name"],
            "task": task.name,
            "objective": task.objective.name,
            "unit": task.objective.unit,
            "direction": "minimize" if task.objective.minimize else "maximize",
            "trials": stands.trials,
            "evaluations": stands.evaluations,
            "seconds": round(self.lab.seconds, 3),
            "tokens": self.lab.meter.spent.tokens,
            "money": self.lab.meter.spent.money,
            "baseline": stands.baseline,
            "best": None if best is None else best[1].score,
            "branch": None if best is None else best[0],
            "trial": None if best is None else best[1].number,
        }

    def _save(self) -> None:
        self.folder.set_meta(META, {"seen": self._seen, "sent": sorted(self._sent), "outer": True})


def with_commands(recipe: Recipe, options: Sequence[str]) -> Recipe:
    """The recipe with the commands of options, EVENT=COMMAND each; an empty command takes one away.

    Raises InputError for other texts.
    """
    given = commands_in(options)
    return recipe.model_copy(update={"events": recipe.events.model_copy(update=given)}) if given else recipe


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
