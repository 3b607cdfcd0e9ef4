"""A person's commands on what happens to a run: finished, failed, a new best, a budget nearly spent, stuck, a
question at its gate.

A thread looks at the store, as the live view does: the loops know nothing of it, and what a command does, fails at or
takes too long over reaches the run only as an event in its store. A command gets the facts as JSON on its standard
input and the main ones as variables; its environment is an allow-list, as that of candidates.
"""

import json
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from bilevel.call import Event
from bilevel.errors import BilevelError, HarnessError, InputError, LimitReached, Stopped
from bilevel.execution.environment import allowed
from bilevel.execution.outcome import Ending, Limits
from bilevel.execution.process import run as run_command
from bilevel.lab import UNITS, Lab, limit_text
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.recipe import EVENTS, EventsTable, Recipe
from bilevel.steering.hearing import GATE
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.store.sqlite import SqliteStore
from bilevel.trial import Trial

META = "events"  # the fact of a run folder that says what was seen, and which events were sent
KIND = "command"  # of the events in the store that say how a command ended
TOLD = "told by its command"  # so it ends where a command worked
PERIOD = 0.25  # seconds between two looks
MEMORY, OUTPUT = 1 << 30, 1 << 16  # bytes that a command may use, and print
SHOWN = 200  # characters of what a command printed that are kept


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
    """A context in which the commands of a run are called for what happens to it; nothing without a command.

    `planned`: how many measurements the run may take; None where nobody says.
    """

    folder: RunFolder[SqliteStore]
    spec: LoopSpec
    lab: Lab
    table: EventsTable
    planned: int | None
    _stands: Standing = field(default_factory=Standing)
    _seen: dict[str, int] = field(default_factory=dict)
    _sent: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="events", daemon=True)
        self._reader: Reader | None = None

    def __enter__(self) -> "Telling":
        if not self.table.commands:
            return self
        self._reader = Reader(self.folder.path)
        known = self.folder.meta(META)
        until = None if known is None else {str(k): int(v) for k, v in known["seen"].items()}
        self._sent = set() if known is None else set(known["sent"])
        self._take_in(until)
        if known is None:
            self._save()  # what was there before there were commands is no news
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
            if error is None:
                state = str(self.folder.meta("state"))
                said = f"ended ({state}), {self._best_said()} after {self._stands.trials} trials"
                self._send("finished", f"finished {state} {self._stands.trials}", said, {"state": state})
            elif isinstance(error, BilevelError) and (
                not isinstance(error, Stopped) or isinstance(error, LimitReached)
            ):
                self._send("failed", f"failed {self._stands.trials}", f"failed: {error}", {"error": str(error)})
        self._reader.close()

    # ---- what happens ----

    def _watch(self) -> None:
        with suppress(BilevelError, OSError):  # a store that fails fails the run too, which says so
            while not self._stop.wait(PERIOD):
                self._look()

    def _look(self) -> None:
        """Take in what is new, and send what follows from it; of several new bests only the last."""
        before = self._stands.best
        if self._take_in(None):
            self._save()
        best = self._stands.best
        if best is not None and before is not best and best[1].number > 0:
            self._send_best(*best)
        self._send_budget()
        self._send_stuck()
        self._send_gate()

    def _take_in(self, until: Mapping[str, int] | None) -> bool:
        """Whether there were new trials; of those that an earlier session saw, no more than `until` says."""
        assert self._reader is not None
        stands, new, inner = self._stands, False, leaf(self.spec)
        for branch in self._reader.branches():
            if branch.level != inner.name:
                continue
            for trial in self._reader.trials(branch.id, after=self._seen.get(branch.id, branch.at - 1)):
                if until is not None and trial.number > until.get(branch.id, -1):
                    break
                new, self._seen[branch.id] = True, trial.number
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
        if self.planned:
            spent["measurements"] = self._stands.evaluations / self.planned
            limits["measurements"] = f"{self.planned:,} measurements"
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
        command = getattr(self.table, event)
        if not command or key in self._sent:
            return
        self._sent.add(key)
        self._save()
        message = self.lab.redact(message)
        text = self.lab.redact(json.dumps({"event": event, "message": message, **self._facts(), **facts}))
        limits = Limits(self.table.seconds, self.table.seconds, MEMORY, OUTPUT)
        variables = {**variables_for(self.table), **self._variables(event, message)}
        try:
            done = run_command(
                ["/bin/sh", "-c", command], cwd=Path.cwd(), env=variables, limits=limits,
                stdin=text.encode("utf-8", "replace"), cancel=self.lab.cancel,
            )  # fmt: skip
        except (HarnessError, InputError, OSError) as error:
            self._note(f"{event}: {message}; its command could not be run: {error}")
            return
        said = " ".join((done.stderr or done.stdout).split())[-SHOWN:] or "it printed nothing"
        if done.ok:
            self._note(f"{event}: {message}; {TOLD}")
        elif done.ending is Ending.EXITED:
            self._note(f"{event}: {message}; its command failed with exit code {done.exit_code}: {said}")
        else:
            self._note(
                f"{event}: {message}; its command was ended ({done.ending.value}) after {done.wall_seconds:.1f} s"
            )

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

    def _variables(self, event: str, message: str) -> dict[str, str]:
        best = self._stands.best
        score = "" if best is None else repr(best[1].score)
        return {
            "BILEVEL_EVENT": event, "BILEVEL_MESSAGE": message.replace("\0", ""),
            "BILEVEL_RUN": str(self.folder.path.resolve()), "BILEVEL_BEST": score,
        }  # fmt: skip

    def _save(self) -> None:
        self.folder.set_meta(META, {"seen": self._seen, "sent": sorted(self._sent)})

    def _note(self, text: str) -> None:
        self.lab.store.add_event(Event(time.time(), KIND, "", self.lab.redact(text)))


def variables_for(table: EventsTable) -> dict[str, str]:
    """The variables of a command, but for the facts. Raises InputError for one that looks like a secret."""
    home = Path.home()
    try:
        places = {"HOME": str(home), "TMPDIR": tempfile.gettempdir()}
        return allowed(table.env_pass, places, scratch=home)
    except InputError as error:
        raise InputError(f"events.env_pass: {error}") from None


def with_commands(recipe: Recipe, options: Sequence[str]) -> Recipe:
    """The recipe with the commands of options, EVENT=COMMAND each; an empty command takes one away.

    Raises InputError for other texts.
    """
    given: dict[str, str] = {}
    for text in options:
        event, equals, command = text.partition("=")
        if not equals or event not in EVENTS:
            raise InputError(f"--on {text!r} cannot be used; write EVENT=COMMAND with one of: {', '.join(EVENTS)}")
        given[event] = command
    return recipe.model_copy(update={"events": recipe.events.model_copy(update=given)}) if given else recipe


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
