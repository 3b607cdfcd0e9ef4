"""What is known of a mechanism: NAME.toml, which lies beside NAME.py.

It holds the hash of the source that it speaks of, who wrote that and in which run, and what was measured. Evidence of
another text than the one beside it is credited to nobody.
"""

import datetime
import json
import math
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bilevel.errors import HarnessError, InputError
from bilevel.standings import rank_of

MOST_BYTES = 1 << 18  # of a source, or of a record
Line = Annotated[str, Field(max_length=500)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Control = Literal["without it", "its earlier version"]


class Part(BaseModel):
    """A table of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(Part):
    """Where a mechanism was proposed first. `calls` are numbers for `bilevel show RUN --call N`. `imported`: the file
    that it was taken over from; what it says of itself was then measured elsewhere."""

    run: Line = ""
    recipe: Line = ""
    task: Line = ""
    seed: int | None = None
    level: Line = ""
    branch: Line = ""
    trial: int | None = None
    calls: tuple[int, ...] = ()
    imported: Line = ""


class Preconditions(Part):
    """What it needs. `needs` as the mechanism says; `advice`: it speaks to the researcher, which must read text;
    `kinds`: of the parameters of the space that it was in force on (it is untried on others)."""

    needs: tuple[Line, ...] = ()
    advice: bool = False
    kinds: tuple[Line, ...] = ()


class Measurement(Part):
    """What the forks of one run say, by the rule of `bilevel.evidence`: a posterior effect with its central 90 %.

    `family` is the task without its options. `machine` is the fingerprint of what can change a score there
    (`bilevel.machine`), "several" where the run went on elsewhere; empty in older records. `told` of the `forks`
    told the arms apart; `low` and `high` are missing where none did. `inert` forks, in which it changed no
    decision, count for nothing and are no part of these. `evaluations`: of both arms of all forks. `arms`
    identifies each fork by what was measured in it: evidence that has the same forks is the same evidence.

    `on` is the loop that it worked on: empty for the innermost one, "mechanisms" for level 2, onto which it was lifted.
    `kinds`: of the parameters that loop searched; empty in older records.

    With `trials` these are no forks but pairs of whole loops of so many trials on fresh run seeds (`bilevel confirm
    --mechanism`): `effect` is the mean gain over the loop without it, `low` and `high` what the pairs leave of it,
    and the e-value is that against the loop without it and the one with a restart, the smaller one.
    """

    family: Line
    task: Line
    harness: Line
    machine: Line = ""
    unit: Line = ""
    control: Control
    effect: Number
    low: Number | None = None
    high: Number | None = None
    forks: int = Field(ge=0)
    told: int = Field(ge=0)
    inert: int = Field(0, ge=0)
    verdict: Literal["helped", "hurt", "undecided"]
    e_value: Number = Field(ge=0)
    confirmed: bool = False
    evaluations: int = Field(ge=0)
    date: datetime.date
    run: Line = ""
    gains: tuple[Number, ...] = ()
    spreads: tuple[Number, ...] = ()
    arms: tuple[Hash, ...] = ()
    trials: int | None = Field(None, ge=1)
    on: Line = ""
    kinds: tuple[Line, ...] = ()

    @property
    def sentence(self) -> str:
        """The measurement in a line, with what it rests on."""
        word = "confirmed" if self.confirmed else self.verdict
        forks = f"{self.forks} fork{'' if self.forks == 1 else 's'}"
        if self.trials is not None:
            forks = f"{self.forks} pair{'' if self.forks == 1 else 's'} of whole loops of {self.trials} trials"
        forks += f" of level {rank_of(self.on)}, onto which it was lifted" if self.on else ""
        inert = f", inert in {self.inert} more" if self.inert else ""
        if self.told == 0 or (self.trials is None and (self.low is None or self.high is None)):
            return f"{word} after {forks}{inert}: none told the arms apart ({self.family}, against {self._control})"
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{word} after {forks}{inert}: effect {self.effect:+.3g}{unit} "
            f"[{_bound(self.low, '-inf')}, {_bound(self.high, '+inf')}] "
            f"({self.family}, against {self._control})"
        )

    @property
    def _control(self) -> str:
        return "the search without it" if self.control == "without it" else self.control


def _bound(value: float | None, open_: str) -> str:
    return open_ if value is None else f"{value:+.3g}"


class Record(Part):
    """The whole file. `source_hash` is the content hash of the text that all of it speaks of; `parameters` are the
    class attributes that can be set, as Python literals."""

    format: Literal[1] = 1
    source_hash: Hash
    title: Line = ""
    author: Line = ""
    created: datetime.date | None = None
    origin: Origin = Origin()
    preconditions: Preconditions = Preconditions()
    parameters: dict[Line, Line] = {}
    evidence: tuple[Measurement, ...] = Field((), max_length=1000)

    def with_evidence(self, others: Sequence[Measurement]) -> "Record":
        """With more evidence. A measurement takes the place of those whose forks it all has, and is left out where one
        that is there already has all of its own: the same forks are never counted twice."""
        kept = list(self.evidence)
        for new in others:
            if any(set(new.arms) < set(old.arms) for old in kept):
                continue
            kept = [old for old in kept if not (old.arms and set(old.arms) <= set(new.arms))]
            kept.append(new)
        return self.model_copy(update={"evidence": tuple(kept)})


def parsed(text: str, where: str) -> Record:
    """A record from its text. Raises InputError that lists all that is wrong."""
    try:
        return Record.model_validate_json(json.dumps(tomllib.loads(text), default=_as_json))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors()]
        raise InputError(f"{where} cannot be used: {'; '.join(lines[:8])}") from None


def written(record: Record) -> str:
    """A record as TOML, which `parsed` reads back."""
    head = "# What is known of the mechanism beside this file. Written by `bilevel mechanisms`.\n"
    return head + "\n".join(_table(record.model_dump(exclude_none=True, exclude_defaults=False), ""))


def text_of(path: Path) -> str:
    """A small file's text. Raises InputError where it is not one."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        return text_in(data, path.name)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror or error}") from error


def text_in(data: bytes, where: str) -> str:
    """The text in some bytes, with plain ends of lines. Raises InputError for what is too long, or not text."""
    if len(data) > MOST_BYTES:
        raise InputError(f"{where} has more than {MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text: {error}") from error


def put(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises HarnessError where it cannot be written."""
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except OSError as error:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)
        raise HarnessError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


# ---- TOML: the standard library reads it and does not write it ----


def _table(data: Mapping[str, Any], name: str) -> list[str]:
    plain = {key: value for key, value in data.items() if not _is_table(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in data.items():
        if not _is_table(value) or not value:
            continue
        path = f"{name}.{_key(key)}" if name else _key(key)
        for item in [value] if isinstance(value, Mapping) else value:
            heading = f"[{path}]" if isinstance(value, Mapping) else f"[[{path}]]"
            lines += ["", heading, *_table(item, path)]
    return lines if name else [*lines, ""]


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)
    )


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # JSON's escapes are TOML's, but for what JSON leaves as it is
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").encode("utf-8", "replace").decode()
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    raise ValueError(f"{value!r} has no place in a record")


def _as_json(value: object) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(type(value).__name__)
