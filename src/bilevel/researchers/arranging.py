"""The steps of the article workflow, as the texts in force arrange them: inserted, replaced or removed.

A step is inserted by a text with its fields, a gate and a prompt:

    ---
    after: plan
    shown: assessment, revision
    fields:
    - missing: text
    - paragraphs: paragraphs
    gate:
    - at least 8 words
    - own words
    ---
    Say what the plan leaves out ...

`after`: the step of the workflow behind which it is taken, or `start`. `shown`: which later steps read its answer; all
of them if nothing is said. A field is a `text`, `texts`, `paragraph`, `paragraphs` (numbers of the article's),
`number from A to B` or `one of A, B`; without fields the answer is one text. The gate sends back what has another form,
and what its lines say.

    ---                     ---
    replace: analysis       remove: hypotheses
    ---                     ---
    another prompt ...      why, for people

A replaced step keeps its form, its gate and its places; `analysis`, `hypotheses` and `assessment` can be removed.

A step as code (see `workflow_step`) says the same in its class: `after` and `shown`, `replace`, or `remove`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import RootModel

from bilevel import prose
from bilevel.carrying import STEP, carrier_of
from bilevel.mechanism import Guest
from bilevel.prose import Block
from bilevel.researchers.answer import parse
from bilevel.researchers.gates import COPIED, LEAST_WORDS
from bilevel.researchers.headed import headed, only
from bilevel.researchers.schemas import closed, integer, listed, one_of, string
from bilevel.steps import STEPS
from bilevel.workflow_step import PLACES, place_of

START = "start"
REMOVABLE = ("analysis", "hypotheses", "assessment")
KEYS = ("after", "shown", "fields", "gate", "replace", "remove")
MOST_FIELDS = 6
_FIELD = re.compile(r"([a-z][a-z0-9_]{0,29}): (.+)")
_RANGE = re.compile(r"number from (-?\d+) to (-?\d+)")
_ONE_OF = re.compile(r"one of (.+)")
_COUNT = re.compile(r"at (least|most) (\d{1,4}) words")
OWN = "own words"
_PLACE = re.compile(r"\{\{(\w*)\}\}")


class Fields(RootModel[dict[str, Any]]):
    """An answer of an inserted step, before its fields are looked at."""


@dataclass(frozen=True)
class Step:
    """A step as the workflow takes it. `prompt` is its text. An inserted one (`after` is not empty) has `fields` (name
    and kind) and a `gate` of its own, and is `shown` to later steps. `code`: who takes it in place of the model."""

    name: str
    prompt: str
    after: str = ""
    shown: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    gate: tuple[str, ...] = ()
    code: Guest | None = None

    def schema(self, parts: int) -> Mapping[str, object]:
        """The JSON schema of its answer about an article of so many paragraphs."""
        return closed(**{name: _schema(kind, parts) for name, kind in self.fields})

    def read(self, text: str, parts: Sequence[Block]) -> str:
        """Its answer as later steps read it. Raises ValueError with what the gate has against it."""
        found = parse(text, Fields).root
        if set(found) != {name for name, _ in self.fields}:
            raise ValueError(f"give one JSON object with exactly: {', '.join(name for name, _ in self.fields)}")
        wrong = [problem for name, kind in self.fields if (problem := _misfit(name, kind, found[name], len(parts)))]
        said = [item for value in found.values() for item in (value if isinstance(value, list) else [value])]
        words = [word.lower() for item in said if isinstance(item, str) for word in prose.words(item)]
        wrong += [problem for line in self.gate if (problem := _against(line, words, parts))]
        if wrong:
            raise ValueError("; ".join(wrong))
        return "\n".join(f"- {name}: {_written(found[name])}" for name, _ in self.fields)


@dataclass(frozen=True)
class Arrangement:
    """The steps in their order, and those of the workflow's own that are removed."""

    steps: tuple[Step, ...]
    removed: frozenset[str] = field(default=frozenset())

    def behind(self, step: str) -> tuple[Step, ...]:
        """The steps that are inserted behind one."""
        return tuple(one for one in self.steps if one.after == step)


def arranged(prompts: Mapping[str, str], texts: Sequence[Guest]) -> Arrangement:
    """The workflow's own steps with the changes that texts make. Raises ValueError where one cannot be read."""
    own = {name: Step(name, prompts[f"article_{name}"]) for name in STEPS}
    removed: set[str] = set()
    inserted: list[Step] = []
    for text in texts:
        change = read_step(text, prompts)
        if isinstance(change, str):
            removed.add(change)
        elif change.after:
            inserted.append(change)
        else:
            own[change.name] = change
    steps = [one for one in inserted if one.after == START]
    for name, step in own.items():
        steps += [step] * (name not in removed) + [one for one in inserted if one.after == name]
    return Arrangement(tuple(steps), frozenset(removed))


def read_step(text: Guest, prompts: Mapping[str, str]) -> Step | str:
    """A text's step, or the name of the one that it removes. Raises ValueError with all that is wrong."""
    if carrier_of(text.name) == STEP:
        return _coded(text, prompts)
    found, name = headed(text.source, KEYS), text.name.partition(":")[2]
    wrong = only(found, *(key for key in ("after", "replace", "remove") if key in found.head))
    what = [key for key in ("after", "replace", "remove") if key in found.head]
    if len(what) != 1:
        raise ValueError("a step says one of these in its head: after (it is inserted), replace, or remove")
    target = found.one(what[0])
    if what[0] == "remove":
        if target not in REMOVABLE:
            wrong.append(f"remove: {target!r} cannot be removed; these can: {', '.join(REMOVABLE)}")
        wrong += [f"{key}: a step that is removed has none" for key in ("shown", "fields", "gate") if key in found.head]
    elif not found.body:
        wrong.append("a step has a prompt below its head")
    if what[0] == "replace":
        wrong += _replacing(target, found.body, prompts)
        wrong += [f"{key}: a replaced step keeps its own" for key in ("shown", "fields", "gate") if key in found.head]
    step = Step(target, found.body)
    if what[0] == "after":
        step = _inserted(name, target, found.body, found.head, wrong)
    if wrong:
        raise ValueError("; ".join(wrong))
    return target if what[0] == "remove" else step


def _replacing(target: str, body: str, prompts: Mapping[str, str]) -> list[str]:
    if target not in STEPS:
        return [f"replace: there is no step {target!r}; the steps are: {', '.join(STEPS)}"]
    wanted = sorted(set(_PLACE.findall(prompts[f"article_{target}"])))
    if sorted(set(_PLACE.findall(body))) != wanted:
        return [
            f"replace: the prompt of {target!r} needs exactly the places " + ", ".join(f"{{{{{p}}}}}" for p in wanted)
        ]
    return []


def _coded(text: Guest, prompts: Mapping[str, str]) -> Step | str:
    """The step of a text that is code, or the name of the one that it removes. The text is read, and not run."""
    said, name = place_of(text.source), text.name.partition(":")[2]
    what = [key for key in PLACES if said.get(key, ("",)) != ("",)]
    if len(what) != 1:
        raise ValueError(
            'a step as code says one of these in its class: after = "plan" (it is inserted), replace, remove'
        )
    target, shown = said[what[0]][0], said.get("shown", ())
    wrong = [f"shown: only a step that is inserted has it, not one that says {what[0]}"] * (
        what != ["after"] and bool(shown)
    )
    if what == ["remove"]:
        if target not in REMOVABLE:
            wrong.append(f"remove: {target!r} cannot be removed; these can: {', '.join(REMOVABLE)}")
        wrong += ["take: a step that is removed says nothing; leave it out"] * ("take" in said)
    elif "take" not in said:
        wrong.append("it defines take(self, view, so_far), which gives the step's answer")
    if what == ["replace"] and target not in STEPS:
        wrong.append(f"replace: there is no step {target!r}; the steps are: {', '.join(STEPS)}")
    if what == ["after"]:
        shown = _shown(name, target, shown, wrong)
    if wrong:
        raise ValueError("; ".join(wrong))
    if what == ["remove"]:
        return target
    return (
        Step(target, prompts[f"article_{target}"], code=text)
        if what == ["replace"]
        else Step(text.name, "", target, shown, code=text)
    )


def _shown(name: str, after: str, shown: tuple[str, ...], wrong: list[str]) -> tuple[str, ...]:
    """To which later steps an inserted one is shown; what is wrong with its place is added to `wrong`."""
    if name in STEPS:
        wrong.append(f"{name!r} is a step of the workflow's own; replace it, or take another name")
    if after not in (START, *STEPS[:-1]):
        wrong.append(f"after: {START} or one of {', '.join(STEPS[:-1])}, not {after!r}")
    later = STEPS[STEPS.index(after) + 1 :] if after in STEPS else STEPS
    if odd := [step for step in shown if step not in later]:
        wrong.append(f"shown: {odd[0]!r} does not come after {after!r}; these do: {', '.join(later)}")
    return shown or later


def _inserted(name: str, after: str, body: str, head: Mapping[str, list[str]], wrong: list[str]) -> Step:
    """An inserted step; what is wrong with it is added to `wrong`."""
    named = tuple(part.strip() for line in head.get("shown", []) for part in line.split(","))
    shown = _shown(name, after, named, wrong)
    if _PLACE.search(body):
        wrong.append("the prompt of an inserted step has no places: it is shown the article and what was said so far")
    fields = []
    for line in head.get("fields", ["answer: text"]):
        found = _FIELD.fullmatch(line)
        if found is None or _schema(found[2], 1) is None:
            wrong.append(
                f"the field {line!r:.80} cannot be read; write NAME: text, texts, paragraph, paragraphs, "
                "number from A to B, or one of A, B"
            )
        else:
            fields.append((found[1], found[2]))
    if not 1 <= len(fields) <= MOST_FIELDS and not wrong:
        wrong.append(f"a step's answer has 1 to {MOST_FIELDS} fields, not {len(fields)}")
    if len({label for label, _ in fields}) < len(fields):
        wrong.append("the fields of a step have different names")
    gate = tuple(head.get("gate", []))
    wrong += [
        f"the gate {line!r:.80} cannot be read; write at least N words, at most N words, or {OWN}"
        for line in gate
        if line != OWN and not _COUNT.fullmatch(line)
    ]
    wrong += _impassable([kind for _, kind in fields], gate)
    return Step(name, body, after, shown, tuple(fields), gate)


def _impassable(kinds: Sequence[str], gate: Sequence[str]) -> list[str]:
    """Why no answer of fields of these kinds can pass a gate: it would end each pass."""
    said = sum(kind in ("text", "texts") for kind in kinds)
    counts = [found for line in gate if (found := _COUNT.fullmatch(line))]
    least = max([LEAST_WORDS * said, *(int(found[2]) for found in counts if found[1] == "least")])
    most = min((int(found[2]) for found in counts if found[1] == "most"), default=None)
    if most is not None and most < least:
        return [f"gate: no answer has at least {least} and at most {most} words"]
    if least and kinds and not said and not any(map(_ONE_OF.fullmatch, kinds)):
        return [f"gate: an answer of numbers alone has no {least} words"]
    return []


def _schema(kind: str, parts: int) -> dict[str, object] | None:
    """The JSON schema of a kind of field; None where there is no such kind."""
    if bounds := _RANGE.fullmatch(kind):
        low, high = int(bounds[1]), int(bounds[2])
        return integer(low, high) if low < high else None
    if options := _ONE_OF.fullmatch(kind):
        return one_of([option.strip() for option in options[1].split(",")])
    return {
        "text": string(800), "texts": listed(string(400), 6, 1), "paragraph": integer(1, parts),
        "paragraphs": listed(integer(1, parts), parts, 1),
    }.get(kind)  # fmt: skip


def _misfit(name: str, kind: str, value: object, parts: int) -> str | None:
    """Why a value does not fit its field, or None."""
    if kind in ("texts", "paragraphs"):
        if not isinstance(value, list) or not value:
            return f"{name} must be a list, and not empty"
        return next((wrong for item in value if (wrong := _misfit(name, kind[:-1], item, parts))), None)
    if kind == "text":
        if not isinstance(value, str) or len(prose.words(value)) < LEAST_WORDS:
            return f"{name} must say something in a sentence"
        return None
    if options := _ONE_OF.fullmatch(kind):
        known = [option.strip() for option in options[1].split(",")]
        return None if value in known else f"{name} must be one of {', '.join(known)}"
    bounds = _RANGE.fullmatch(kind)
    low, high = (int(bounds[1]), int(bounds[2])) if bounds else (1, parts)
    fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return None if fits else f"{name} must be a whole number from {low} to {high}"


def _against(line: str, words: Sequence[str], parts: Sequence[Block]) -> str | None:
    """What a line of a gate has against an answer of these words, or None."""
    if line == OWN:
        article = " ".join(word.lower() for part in parts for word in prose.words(part.text))
        copied = any(" ".join(words[i : i + COPIED]) in article for i in range(len(words) - COPIED + 1))
        return "it repeats the article; use words of your own" if copied else None
    found = _COUNT.fullmatch(line)
    assert found is not None  # it was read before
    short, bound = found[1] == "least", int(found[2])
    if len(words) < bound if short else len(words) > bound:
        return f"say it in at {found[1]} {bound} words, not {len(words)}"
    return None


def _written(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
