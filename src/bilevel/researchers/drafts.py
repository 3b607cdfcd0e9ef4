"""Drafts in a model's answer: a JSON object each and, where the task has files, the edits below it; made candidates."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from bilevel.researchers.answer import parse
from bilevel.researchers.constant_lines import shown, syntax_problem, taken
from bilevel.researchers.edits import Edit, Files, Prose, apply, scan
from bilevel.researchers.values import value_for
from bilevel.space import Candidate, Space, Value

MOST_WORDS = 1000  # characters of a reason that are kept
_HEADING = re.compile(r"[\s#*]*draft\b[\s#\d]*[:*.]*\s*", re.IGNORECASE)
_DECODER = json.JSONDecoder()


class DraftModel(BaseModel):
    """One change: why, the gain it should bring (positive is better), and the new values by parameter name."""

    why: str = ""
    predicted_gain: float | None = None
    changes: dict[str, bool | int | float | str | list[Any]] = Field(default_factory=dict)

    @field_validator("why", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("changes", mode="before")
    @classmethod
    def _as_mapping(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("predicted_gain", mode="before")
    @classmethod
    def _as_number(cls, value: object) -> object:
        """A prediction that is no finite number is none: no reason to ask again."""
        try:
            number = float(value) if isinstance(value, int | float | str) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        return number if math.isfinite(number) else None


class DraftsModel(BaseModel):
    """The answer where a task has parameters only."""

    drafts: list[DraftModel] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one(cls, data: object) -> object:
        """A single draft without the list around it is meant as a list of one."""
        return {"drafts": [data]} if isinstance(data, Mapping) and "drafts" not in data and "changes" in data else data


@dataclass(frozen=True)
class Raw:
    """A draft as it was written: its values, edits, and what of it could not be read."""

    head: DraftModel = field(default_factory=DraftModel)
    edits: tuple[Edit, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A draft that can be tried."""

    candidate: Candidate
    why: str
    predicted_gain: float | None


@dataclass(frozen=True)
class Drafts:
    """What an answer holds that can be tried, in its order, and why the rest cannot."""

    valid: tuple[Draft, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ground:
    """What drafts are made on and judged by.

    `base`: the candidate that the edits and changes are applied to. `parent`: the one that steps and freezes are
    measured from. `files`: the text of the editable files as `base` holds them; `start` as the task begins with them,
    so that a file which is again as it began is no part of a candidate. `whole`, `new`: see `edits.Files`. `refused`:
    candidates that are no proposals, each with the reason.
    """

    space: Space
    parent: Candidate
    base: Candidate
    files: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, str] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    new: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def read_values(answer: str, ground: Ground, most: int) -> Drafts:
    """The drafts of an answer that is one JSON object. Raises ValueError where none can be tried."""
    return judged([Raw(draft) for draft in parse(answer, DraftsModel).drafts], ground, most)


def read_edits(answer: str, ground: Ground, most: int) -> Drafts:
    """The drafts of an answer with edits. Raises ValueError where none can be tried."""
    raws = split_drafts(answer, tuple(ground.files))
    if not raws:
        raise ValueError("the answer holds no draft: write a line of JSON with `why` and `changes`, and edits below it")
    return judged(raws, ground, most)


def judged(raws: Sequence[Raw], ground: Ground, most: int) -> Drafts:
    """At most `most` drafts that can be tried; each only once. Raises ValueError with all problems if there is none."""
    valid: list[Draft] = []
    left_out: list[str] = []
    known = {ground.parent.id: "it changes nothing", **ground.refused}
    for number, raw in enumerate(raws, 1):
        label = f"draft {number}: " if len(raws) > 1 else ""
        try:
            draft = made(raw, ground)
        except ValueError as error:
            left_out.append(f"{label}{error}")
            continue
        if draft.candidate.id in known:
            left_out.append(f"{label}{known[draft.candidate.id]}")
            continue
        known[draft.candidate.id] = f"it is the same as draft {number}"
        valid.append(draft)
    if not valid:
        raise ValueError("\n".join(left_out))
    return Drafts(tuple(valid[:most]), tuple(left_out))


def made(raw: Raw, ground: Ground) -> Draft:
    """The candidate of a draft. Raises ValueError with everything that is wrong with it."""
    if raw.problems:
        raise ValueError("; ".join(raw.problems))
    return settled(raw.head, _edited(raw.edits, ground) if raw.edits else {}, ground)


def settled(head: DraftModel, after: Mapping[str, str], ground: Ground) -> Draft:
    """The candidate of a draft whose files have these texts; those that are not given stay as the base has them.

    Raises ValueError with everything that is wrong with it.
    """
    files, from_files = _told_apart(after, ground)
    changes, problems = dict[str, Value](), list[str]()
    for name, value in {**from_files, **head.changes}.items():
        try:
            changes |= _change(name, value, ground)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    candidate = Candidate({**ground.base.params, **changes}, files)
    if problems := ground.space.problems(candidate, ground.parent):
        raise ValueError("; ".join(problems))
    return Draft(candidate, _storable(head.why)[:MOST_WORDS], head.predicted_gain)


def split_drafts(answer: str, known: Sequence[str] = ()) -> list[Raw]:
    """The drafts of a free text: each begins with a JSON object or a heading "Draft", its edits follow."""
    drafts: list[Raw] = []
    headed = False  # whether the last draft has its JSON object
    for piece in scan(answer, known):
        if not isinstance(piece, Prose):
            drafts = drafts or [Raw()]
            last = drafts[-1]
            drafts[-1] = Raw(last.head, (*last.edits, piece), last.problems)
            continue
        for part in _parts(piece.text):
            if part is None:  # a heading
                drafts.append(Raw())
                headed = False
                continue
            heads, problems = part
            if headed or not drafts:
                drafts.append(Raw())
            last, first = drafts[-1], heads[0] if heads else DraftModel()
            drafts[-1] = Raw(first, last.edits, (*last.problems, *problems))
            drafts += [Raw(head) for head in heads[1:]]
            headed = True
    return [raw for raw in drafts if raw != Raw()]


_Part = tuple[list[DraftModel], list[str]] | None


def _parts(text: str) -> list[_Part]:
    """The headings (None) and JSON objects of a text, in order; of an object the drafts it holds, or its problem."""
    found: list[_Part] = []
    end = 0
    for line in re.finditer(r"^[^\n]*$", text, re.MULTILINE):
        if line.start() < end:
            continue
        if _HEADING.fullmatch(line[0]):
            found.append(None)
        elif line[0].lstrip(" `").startswith("{"):
            start = text.index("{", line.start())
            part, end = _object_at(text, start)
            found += [part] if part else []
    return found


def _object_at(text: str, start: int) -> tuple[_Part, int]:
    """The drafts in the JSON object at a place, and where it ends; None where an object is something else."""
    try:
        data, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        stop = text.find("\n", start)
        looks = any(f'"{name}"' in text[start : start + 200] for name in ("why", "changes", "predicted_gain", "drafts"))
        problem = f"the JSON beginning {text[start : start + 40]!r} is not valid: {error}"
        return (([], [problem]) if looks else None), len(text) if stop < 0 else stop
    if not isinstance(data, dict) or not data.keys() & {"why", "changes", "drafts", "predicted_gain"}:
        return None, end
    try:
        whole = data if "drafts" in data else {"changes": {}, **data}
        return (parse(json.dumps(whole), DraftsModel).drafts, []), end
    except ValueError as error:
        return ([], [str(error)]), end


def _edited(edits: Sequence[Edit], ground: Ground) -> dict[str, str]:
    """The texts of the files after the edits, with the constants as they are shown."""
    return apply(edits, Files(shown(ground.files, ground.base.params), ground.whole, ground.new))


def _told_apart(after: Mapping[str, str], ground: Ground) -> tuple[dict[str, str], dict[str, Value]]:
    """The files of the candidate whose files have these texts, and the parameters that were changed in them."""
    files = dict(ground.base.files)
    if not after:
        return files, {}
    before = shown(ground.files, ground.base.params)
    changes: dict[str, Value] = {}
    for path, text in after.items():
        if text == before.get(path):
            continue
        _check_storable(path, text)
        if path in before:
            result = taken(path, text, ground.files, ground.base.params, ground.space)
            text, changes = result.text, {**changes, **result.changes}
        elif path.endswith(".py") and (problem := syntax_problem(text)):
            raise ValueError(f"{path} would not be valid Python: {problem}")
        files[path] = text
    return {path: text for path, text in files.items() if ground.start.get(path) != text}, changes


def _change(name: str, raw: object, ground: Ground) -> dict[str, Value]:
    """The change of one parameter, empty where it has the value already. Raises ValueError."""
    space = ground.space
    if name not in space.domains:
        raise ValueError(f"there is no such parameter; the parameters are: {', '.join(space.active) or 'none'}")
    domain, old = space.domains[name], ground.base.params.get(name)
    if name in space.frozen or domain.locked:
        why = f"frozen by {space.frozen[name]}" if name in space.frozen else "locked by the task"
        if _same(raw, old):
            return {}
        raise ValueError(f"is {why} and stays {old!r}")
    value = value_for(domain, raw)
    if wrong := domain.check(value):
        raise ValueError(wrong)
    return {} if _same(value, old) else {name: value}


def _same(new: object, old: Value | None) -> bool:
    """Whether a value is the old one, however it is written: 1 or 1.0, a list or a tuple."""
    if isinstance(new, list | tuple) and isinstance(old, tuple):
        return len(new) == len(old) and all(_same(a, b) for a, b in zip(new, old, strict=True))
    return isinstance(new, bool) is isinstance(old, bool) and new == old


def _check_storable(path: str, text: str) -> None:
    if "\0" in text or _storable(text) != text:
        raise ValueError(f"{path} would hold characters that are no text")


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
