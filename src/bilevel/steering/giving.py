"""Giving a run an act from another process: checked against what the folder holds, then refused or written down."""

import getpass
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bilevel.acts import LIMITS, Act, Steering
from bilevel.budget import Limits
from bilevel.description import host_space
from bilevel.errors import InputError
from bilevel.lab import Traces, limit_text
from bilevel.length import given, steering_of
from bilevel.levels import LoopTask, aimed_at, leaf, level_named, levels_of, standing
from bilevel.loop import LoopSpec
from bilevel.mechanism import Guest
from bilevel.models import check_prices
from bilevel.run import recorded
from bilevel.steered import key_of, searches_mechanisms
from bilevel.steering.hearing import GATE
from bilevel.store.folder import RunFolder
from bilevel.store.sqlite import append_act_where
from bilevel.surfaces import guests_of

KINDS = (
    "pause", "resume", "stop", "budget", "guide", "freeze", "unfreeze", "pin", "retire", "approve", "reject",
)  # fmt: skip
MOST_TEXT = 4000  # characters of guidance, and of a reason
MOST_NAME = 200  # characters of an author's name
MOST_AMOUNT = 2.0**53  # of a budget: up to here each whole number is a number of its own
AMOUNTS = ("trials", "cycles", "evaluations", *LIMITS)  # the budgets by the names that people give them


@dataclass(frozen=True)
class Asked:
    """What a person asks for, in the person's words. `value`: of a budget. `level`: the loop that is meant."""

    kind: str
    what: str = ""
    text: str = ""
    value: float | None = None
    level: str = ""
    author: str = ""


def give(path: Path, asked: Asked) -> Act:
    """Write an act into a run folder, whether or not a process goes on with it. Raises InputError for what cannot be
    applied: nothing is written then."""
    asked = replace(asked, author=_checked(asked))
    while True:
        folder = RunFolder.read(path)
        try:
            stands = folder.store.stands()
            act = _Situation(folder).act(asked)
        finally:
            folder.close()
        given = append_act_where(path, replace(act, author=asked.author, at=time.time()), stands)
        if given is not None:
            return given  # else another act, or the run itself, came in between: what was checked may not hold


def _checked(asked: Asked) -> str:
    """Who says so. Raises InputError for texts that cannot be stored and shown."""
    author = asked.author or _somebody()
    if len(author) > MOST_NAME or not author.isprintable():
        raise InputError(f"an author is a name in one line of at most {MOST_NAME} characters, not {author[:60]!r}")
    if asked.kind != "guide" and len(asked.text) > MOST_TEXT:
        raise InputError(f"a reason is a text of at most {MOST_TEXT:,} characters, not of {len(asked.text):,}")
    for text in (asked.what, asked.text, author):
        if not _storable(text):
            raise InputError(f"{text[:60]!r} is no text: it holds a null character, or bytes that are not UTF-8")
    return author


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _somebody() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user, and no variable that names one
        return "somebody"


class _Situation:
    """How a run stands when an act is given."""

    def __init__(self, folder: RunFolder[Any]) -> None:
        self.folder, self.store = folder, folder.store
        self.recipe, self.spec = recorded(folder.config)
        self.state = str(folder.meta("state") or "created")
        self.alive = folder.has_writer() and self.state not in ("finished", "stopped", "limit", "interrupted")
        self.acts = given(self.store)

    def act(self, asked: Asked) -> Act:
        make = getattr(self, f"_{asked.kind}")
        if self.state == "finished" and asked.kind != "budget":
            raise InputError(
                f"{self._here} is finished, so {asked.kind!r} would change nothing; a higher budget (`bilevel steer "
                f"budget {self.folder.path}`) and `bilevel resume` let it go on"
            )
        made: Act = make(asked)
        return made

    @property
    def _here(self) -> str:
        return f"run {str(self.folder.path)!r}"

    def steering(self, level: str) -> Steering:
        """What is in force on a loop once it has taken up all that was given."""
        return steering_of(self.store, level)

    # ---- the run itself ----

    @property
    def paused(self) -> bool:
        """Whether it is, or will be once it has taken up what was given."""
        said = [act.kind for act in self.acts if act.kind in ("pause", "resume")]
        return bool(said) and said[-1] == "pause"

    def _pause(self, asked: Asked) -> Act:
        self._must_live(asked)
        if self.paused:
            raise InputError(f"{self._here} is paused already; `bilevel steer resume {self.folder.path}` ends that")
        return Act(0, "pause", text=asked.text)

    def _resume(self, asked: Asked) -> Act:
        if not self.paused:
            raise InputError(
                f"{self._here} is not paused; a run that was stopped goes on with `bilevel resume {self.folder.path}`"
            )
        return Act(0, "resume", text=asked.text)

    def _stop(self, asked: Asked) -> Act:
        self._must_live(asked)
        return Act(0, "stop", text=asked.text)

    def _must_live(self, asked: Asked) -> None:
        if not self.alive:
            state = "no process goes on with it" if self.state == "running" else f"its state is {self.state}"
            raise InputError(f"there is nothing to {asked.kind} in {self._here}: {state}")

    # ---- the gate ----

    def _approve(self, asked: Asked) -> Act:
        return Act(0, "approve", self._question(asked), asked.text)

    def _reject(self, asked: Asked) -> Act:
        return Act(0, "reject", self._question(asked), asked.text)

    def _question(self, asked: Asked) -> str:
        """What waits for a person at this moment."""
        waits = self.folder.meta(GATE)
        if waits is None:
            raise InputError(f"nothing waits for a person in {self._here}, so there is nothing to {asked.kind}")
        if asked.what not in ("", waits["id"]):
            raise InputError(f"{asked.what!r} does not wait for a person in {self._here}: {waits['id']!r} does")
        return str(waits["id"])

    # ---- what it may spend ----

    def _budget(self, asked: Asked) -> Act:
        what, value = asked.what, asked.value
        if what not in AMOUNTS:
            raise InputError(f"there is no budget {what!r}; a run has: {', '.join(AMOUNTS)}")
        whole = what not in ("seconds", "money")
        if value is None or not 0 < value <= MOST_AMOUNT or (whole and value != math.floor(value)):
            raise InputError(f"budget {what}: {value!r} is no amount; give a number above 0{', a whole one' * whole}")
        if what in LIMITS:
            if what == "money":
                self._must_be_priced(value)
            spent = self._spent(what)
            if value < spent:
                raise self._less(what, limit_text(what, value), limit_text(what, round(spent, 2)))
            return Act(0, "budget", what, asked.text, value)
        nested = isinstance(self.spec.task, LoopTask)
        if what == ("trials" if nested else "cycles"):
            other = "cycles" if nested else "trials"
            raise InputError(
                f"budget {what}: recipe {self.recipe.name!r} has {'outer levels' if nested else 'one level'}, so its "
                f"budget is one of {other}, or of evaluations"
            )
        trials = Traces(self.store).trace("root", self.spec.task.objective) if self.store.branches() else None
        if what == "evaluations":
            beside = leaf(self.spec).calibration
            spent = sum(trial.cost.evaluations for trial in trials or ()) - beside
            value, name = int(value) + beside, "evaluations"
            if value < spent + beside:
                raise self._less(what, f"{value - beside:,}", f"{spent:,}")
            return Act(0, "budget", name, f"{value - beside:,} evaluations", value, levels=(self.spec.name,))
        done = max(len(trials or ()) - (0 if nested else 1), 0)
        if value < done:
            raise self._less(what, f"{int(value):,}", f"{done:,}")
        raw = int(value) - (1 if nested else 0)
        return Act(0, "budget", "trials", f"{int(value):,} {what}", raw, levels=(self.spec.name,))

    def _must_be_priced(self, money: float) -> None:
        """A limit on money that cannot be kept would end the run with the next call."""
        check_prices(self.recipe, Limits(money=money))
        unknown = next((c.model for c in self.store.calls() if c.money is None and c.cost.tokens), "")
        if unknown:
            raise InputError(
                f"the price of {unknown!r} is not known, so a limit on money cannot be kept in {self._here}; give "
                "--max-tokens"
            )

    def _less(self, what: str, wanted: str, spent: str) -> InputError:
        return InputError(
            f"budget {what}: {wanted} is less than the {spent} that {self._here} has spent; `bilevel steer "
            f"stop {self.folder.path}` ends it after what is running"
        )

    def _spent(self, what: str) -> float:
        if what == "seconds":
            return float(self.store.get_meta("elapsed") or 0.0)
        costs = [call.cost for call in self.store.calls()]
        return float(sum(cost.tokens for cost in costs) if what == "tokens" else sum(cost.money for cost in costs))

    # ---- how the loops search ----

    def _guide(self, asked: Asked) -> Act:
        level = self._level(asked, self._inner)
        if not asked.text.strip() or len(asked.text) > MOST_TEXT:
            raise InputError(f"guidance is a text of 1 to {MOST_TEXT:,} characters, not of {len(asked.text):,}")
        researcher = level_named(self.spec, level).researcher
        if not researcher.reads_advice:
            raise InputError(
                f"level {level!r} of {self._here} is researched by {researcher.name!r}, which reads no text: guidance "
                "would change nothing; freeze parameters, or put a mechanism in force"
            )
        return Act(0, "guide", text=asked.text.strip(), levels=(level,))

    def _freeze(self, asked: Asked) -> Act:
        name = self._parameter(asked)
        steering, loop = self.steering(self._inner), self.loop(self._inner)
        if name in steering.frozen:
            raise InputError(f"parameter {name!r} is frozen already ({steering.frozen[name]})")
        act = Act(0, "freeze", name, asked.text, levels=(self._inner,))
        if not host_space(loop, steering.after([replace(act, number=-1)])).active:
            raise InputError(f"parameter {name!r} is the last one that is free: without it nothing could be proposed")
        return act

    def _unfreeze(self, asked: Asked) -> Act:
        name = self._parameter(asked)
        steering, loop = self.steering(self._inner), self.loop(self._inner)
        if name not in host_space(loop, steering).frozen:
            raise InputError(f"parameter {name!r} is not frozen")
        return Act(0, "unfreeze", name, asked.text, levels=(self._inner,))

    def _parameter(self, asked: Asked) -> str:
        """A parameter of the task that is not locked."""
        if asked.level not in ("", self._inner):
            raise InputError(f"parameters are those of level {self._inner!r}, not of {asked.level!r}")
        task = leaf(self.spec).task
        if asked.what not in task.space.domains:
            raise InputError(
                f"task {task.name!r} has no parameter {asked.what!r}; it has: {', '.join(task.space.domains)}"
            )
        if asked.what not in task.space.unlocked:
            raise InputError(f"parameter {asked.what!r} is locked by task {task.name!r}: it never changes")
        return asked.what

    # ---- mechanisms ----

    def _pin(self, asked: Asked) -> Act:
        level, guest = self._mechanism(asked)
        above = self._above(level)
        if not above:
            raise InputError(
                f"mechanism {guest.name!r} need not be pinned: no level of {self._here} changes what is in force on "
                f"level {level!r}"
            )
        if key_of(guest) in self.steering(level).pinned:
            raise InputError(f"mechanism {guest.name!r} is pinned already")
        return Act(0, "pin", guest.name, asked.text, source=key_of(guest)[1], levels=(level, *above))

    def _retire(self, asked: Asked) -> Act:
        level, guest = self._mechanism(asked)
        source = key_of(guest)[1]
        return Act(0, "retire", guest.name, asked.text, source=source, levels=(level, *self._above(level)))

    def _mechanism(self, asked: Asked) -> tuple[str, Guest]:
        """The mechanism that is meant, in force or on trial, and the level on which it is."""
        names = [loop.name for loop in levels_of(self.spec)]
        levels = [self._level(asked, "")] if asked.level else names
        there = {level: self.mechanisms(level) for level in levels}
        found = [(level, guests[asked.what]) for level, guests in there.items() if asked.what in guests]
        if len(found) == 1:
            return found[0]
        if found:
            on = ", ".join(level for level, _ in found)
            raise InputError(f"mechanism {asked.what!r} is in force on the levels {on}; say which with --level")
        known = "; ".join(f"{level}: {', '.join(guests)}" for level, guests in there.items() if guests)
        raise InputError(f"no mechanism {asked.what!r} is in force or on trial in {self._here}; {known or 'none is'}")

    def mechanisms(self, level: str) -> dict[str, Guest]:
        """The mechanisms of a loop that are in force, and those that a fork tries at this moment, but for those that a
        person retired."""
        guests = list(self.loop(level).mechanisms)
        for name in self._above(level):
            for branch in self.store.branches():
                if branch.level == name:
                    for pending in self.store.pendings(branch.id):
                        guests += guests_of(pending.proposal.candidate)
        retired = self.steering(level).retired
        return {guest.name: guest for guest in guests if key_of(guest) not in retired}

    def _above(self, level: str) -> tuple[str, ...]:
        """The loops that search the mechanisms of a level."""
        return tuple(
            loop.name
            for loop in levels_of(self.spec)
            if isinstance(loop.task, LoopTask)
            and searches_mechanisms(loop.task.surface)
            and aimed_at(loop.task).name == level
        )

    def loop(self, level: str) -> LoopSpec:
        """A loop of the run as the levels above it have set it by now."""
        names = [loop.name for loop in reversed(levels_of(self.spec))]
        branch = "root" if self.store.branches() else None
        return standing(Traces(self.store), self.spec, branch, names.index(level))[0]

    def _level(self, asked: Asked, default: str) -> str:
        return level_named(self.spec, asked.level).name if asked.level else default

    @property
    def _inner(self) -> str:
        return leaf(self.spec).name
