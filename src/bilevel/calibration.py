"""The noise of a task, measured with its baseline alone (A/A), stored, and found again by later runs.

An estimate is good for one harness, one rung and one machine. It lies in the user's data folder as
noise/TASK/RUNG/NUMBER.json; a new one never replaces an old one, and the last that fits is used. What runs learn on
top of it is in `refining.py`.
"""

import datetime
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bilevel import machine
from bilevel.codec import build, content_hash, derive_seed, plain
from bilevel.errors import HarnessError, InputError, Stopped, StoreError
from bilevel.facts import checked, failure_reason
from bilevel.lab import Bench, Lab
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.noise import Noise, estimate
from bilevel.quantiles import NORMAL, sd_interval, student
from bilevel.shelf.places import data_folder
from bilevel.trial import Run, Status

T = TypeVar("T")
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """What `bilevel noise` measured: scores of the baseline on different seeds, and again and again on the first one.

    `repeats` begins with the first of `seeds`. Failures are no scores; `reasons` says what they were.
    """

    task: str
    harness: str
    rung: str
    machine: Mapping[str, Any]
    objective: str
    unit: str
    seeds: tuple[float, ...]
    repeats: tuple[float, ...]
    failed: int
    reasons: tuple[str, ...]
    date: str

    @property
    def between(self) -> Noise:
        """The noise between seeds, which holds that of a re-run too."""
        return estimate(self.seeds)

    @property
    def again(self) -> Noise:
        """The noise of a re-run: one seed measured again."""
        return estimate(self.repeats)

    @property
    def deterministic(self) -> bool:
        return self.between.deterministic and (self.again.deterministic or len(self.repeats) < 2)

    @property
    def repeatable(self) -> bool | None:
        """Whether the same seed gives the same score, to the last bit; None where it was measured once."""
        return self.again.deterministic if len(self.repeats) > 1 else None


def interval(noise: Noise) -> tuple[float, float] | None:
    """The 95 % interval of the sd (chi-square; exact for normal scores); None where nothing was repeated."""
    return sd_interval(noise.sd, noise.degrees) if noise.degrees else None


def seeds_needed(effect: float, sd: float) -> int:
    """On how many seeds two candidates must be measured to see an effect, one-sided at 5 % with a power of 80 %.

    The smallest n with n >= 2 (sd / effect)^2 (t_95% + t_80%)^2 at 2 (n - 1) degrees of freedom: the usual normal
    formula (Cohen 1988, ch. 2) with Student's t in place of the normal quantiles.
    """
    if not effect > 0:
        raise InputError(f"an effect must be above 0, not {effect!r}")
    if sd == 0:
        return 1
    once = 2 * (sd / effect) ** 2
    n = max(2, math.ceil(once * (NORMAL.inv_cdf(0.95) + NORMAL.inv_cdf(POWER)) ** 2))  # Student's t asks for no less
    while n < once * (student(0.95, 2 * (n - 1)) + student(POWER, 2 * (n - 1))) ** 2:
        n += 1
    return n


def measure(spec: LoopSpec, lab: Lab, seeds: int, repeats: int) -> Estimate:
    """Measure the baseline on `seeds` seeds, and on the first of them `repeats` times; both in turn, so that a drift of
    the machine is in both. The seeds are no run's evaluation seeds. Raises Stopped after a stop.
    """
    inner = leaf(spec)
    orders = [(0, "seeds"), *_in_turn([(n, "seeds") for n in range(1, seeds)], [(0, "repeats")] * (repeats - 1))]
    found: dict[str, list[float]] = {"seeds": [], "repeats": []}
    reasons: list[str] = []
    for place, (number, into) in enumerate(orders):
        run = _measured(inner, lab, derive_seed(inner.seed, "noise", number))
        if run.metrics is None:
            reasons.append(failure_reason(run))
            continue
        score = inner.task.evaluate(run)
        found[into].append(score)
        if place == 0:
            found["repeats"].append(score)
    return Estimate(
        task=inner.task.name,
        harness=inner.task.harness,
        rung=inner.top,
        machine=machine.facts(),
        objective=inner.task.objective.name,
        unit=inner.task.objective.unit,
        seeds=tuple(found["seeds"]),
        repeats=tuple(found["repeats"]),
        failed=len(reasons),
        reasons=tuple(dict.fromkeys(reasons))[:5],
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _in_turn(one: Sequence[tuple[int, str]], other: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    longest = max(len(one), len(other))
    return [item for n in range(longest) for items in (one, other) for item in items[n : n + 1]]


def _measured(spec: LoopSpec, lab: Lab, seed: int) -> Run:
    """One measurement of the baseline; one that the machine failed is repeated once."""
    options = next(rung.options for rung in spec.task.rungs if rung.name == spec.top)
    bench = Bench(lab, spec.top, 0, seed, options)
    for _ in range(2):
        if lab.stop.is_set():
            raise Stopped("stopped before the noise was measured; nothing was stored")
        run = checked(spec.task, lab.without_secrets(spec.task.run(spec.task.baseline(), bench)))
        if run.status is not Status.INFRASTRUCTURE:
            return run
    raise HarnessError(f"the machine failed a measurement twice: {failure_reason(run)}")


# ---- the store ----


def folder_of(task: str, rung: str, root: Path | None = None) -> Path:
    """Where the estimates of a task's rung lie."""
    names = [re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:40] or "x" for name in (task, rung)]
    root = data_folder() / "noise" if root is None else root
    return root / f"{names[0]}-{content_hash(task)[:8]}" / f"{names[1]}-{content_hash(rung)[:8]}"


def store(found: Estimate, root: Path | None = None) -> Path:
    """Write an estimate, whole or not at all, beside those that are there. Raises HarnessError where that fails."""
    return put(found, folder_of(found.task, found.rung, root))


def put(found: object, folder: Path) -> Path:
    """Write a record under the next number of a folder, whole or not at all. Raises HarnessError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(plain(found), indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            number = max((_number(path) for path in _files(folder)), default=0) + 1
            while True:
                path = folder / f"{number:04}.json"
                try:
                    os.link(draft, path)  # fails where another process has taken the number
                    return path
                except FileExistsError:
                    number += 1
        finally:
            os.unlink(draft)
    except OSError as error:
        raise HarnessError(f"the estimate cannot be stored in {str(folder)!r}: {error.strerror or error}") from error


def last_fitting(spec: LoopSpec, root: Path | None = None) -> tuple[Estimate | None, str]:
    """The last stored estimate that fits the innermost loop's task, rung and this machine; or None, and what does not
    fit of those that are there. Raises StoreError for a file that cannot be read.
    """
    inner = leaf(spec)
    try:
        folder = folder_of(inner.task.name, inner.top, root)
    except InputError:  # no home folder: nothing can be stored there
        return None, ""
    here = machine.fingerprint(machine.facts())
    left = ""
    for path in sorted(_files(folder), key=_number, reverse=True):
        there = read(path)
        if there.harness != inner.task.harness:
            left = left or "with another harness (what measures the task has changed since, or has other options)"
        elif machine.fingerprint(there.machine) != here:
            left = left or f"on another machine ({'; '.join(machine.differences(there.machine, machine.facts()))})"
        elif there.between.degrees:
            return there, ""
    return None, left


def stored_in(folder: Path, kind: type[T]) -> list[T]:
    """The records of a folder, the oldest first. Raises StoreError where one cannot be read."""
    return [_read(path, kind) for path in sorted(_files(folder), key=_number)]


def read(path: Path) -> Estimate:
    """A stored estimate. Raises StoreError where it cannot be read."""
    return _read(path, Estimate)


def _read(path: Path, kind: type[T]) -> T:
    try:
        text = path.read_text("utf-8")
        made: T = build(kind, json.loads(text, parse_float=_finite, parse_constant=_finite))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"the estimate of noise {str(path)!r} cannot be read ({error}); remove it, or use --noise own"
        ) from error
    return made


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is no number")
    return float(text)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.json") if path.stem.isdigit()]


def _number(path: Path) -> int:
    return int(path.stem)
