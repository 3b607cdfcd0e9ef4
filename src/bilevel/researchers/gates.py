"""The gates of the article workflow: each judges one step's answer against the article and the steps before it.

A gate gives the answer, checked, or raises ValueError with what is wrong in words that the model can act on. It judges
what can be known without a model: that an answer speaks of this article, says something, repeats nothing, leaves out
nothing that was asked for, and loses no fact.
"""

import re
from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from bilevel import prose
from bilevel.prose import Block
from bilevel.researchers.answer import parse
from bilevel.researchers.schemas import closed, integer, listed, one_of, string

DIMENSIONS = ("rigour", "clarity", "consistency", "insight", "actionability")
LEAST_WORDS = 5  # of a statement that says something
COPIED = 8  # words in a row that a statement may share with the article
SHORTEST, LONGEST = 0.4, 3.0  # words of a new paragraph for each of the old one
_NUMBER = re.compile(r"^\s*\[(\d+)\]\s*(?!\()")


class Weakness(BaseModel):
    paragraph: int
    dimension: str
    problem: str


class Analysis(BaseModel):
    weaknesses: list[Weakness]


class Hypothesis(BaseModel):
    weakness: int
    change: str
    why: str


class Hypotheses(BaseModel):
    hypotheses: list[Hypothesis]


class Edit(BaseModel):
    paragraph: int
    hypothesis: int
    instruction: str


class Plan(BaseModel):
    edits: list[Edit]


class Verdict(BaseModel):
    edit: int
    gain: int
    risk: int
    reason: str


class Verdicts(BaseModel):
    verdicts: list[Verdict]


class Paragraph(BaseModel):
    paragraph: int
    text: str


class Paragraphs(BaseModel):
    paragraphs: list[Paragraph]


# ---- analysis ----


def analysis_schema(count: int) -> dict[str, object]:
    one = closed(paragraph=integer(1, count), dimension=one_of(DIMENSIONS), problem=string(400))
    return closed(weaknesses=listed(one, 5, 2))


def analysis(text: str, parts: Sequence[Block]) -> Analysis:
    """Two to five weaknesses in places that exist, each another one, in words that are not the article's."""
    found = parse(text, Analysis)
    _between(len(found.weaknesses), 2, 5, "weaknesses")
    article = " ".join(word.lower() for part in parts for word in prose.words(part.text))
    for number, one in enumerate(found.weaknesses, 1):
        _within(one.paragraph, len(parts), f"weakness {number}: paragraph")
        if one.dimension not in DIMENSIONS:
            raise ValueError(f"weakness {number}: dimension must be one of {', '.join(DIMENSIONS)}")
        _says(one.problem, f"weakness {number}: problem")
        said = [word.lower() for word in prose.words(one.problem)]
        if any(" ".join(said[i : i + COPIED]) in article for i in range(len(said) - COPIED + 1)):
            raise ValueError(f"weakness {number}: problem repeats the article; say in words of your own what is wrong")
    _different(((one.paragraph, one.dimension) for one in found.weaknesses), "weaknesses (paragraph and dimension)")
    _different((_plain(one.problem) for one in found.weaknesses), "problems")
    return found


# ---- hypotheses ----


def hypotheses_schema(count: int) -> dict[str, object]:
    one = closed(weakness=integer(1, count), change=string(400), why=string(400))
    return closed(hypotheses=listed(one, min(4, count), 1))


def hypotheses(text: str, count: int, tried: Sequence[str]) -> Hypotheses:
    """One to four, each for another weakness, and none of those that were `tried`."""
    found = parse(text, Hypotheses)
    _between(len(found.hypotheses), 1, 4, "hypotheses")
    before = set(map(_plain, tried))
    for number, one in enumerate(found.hypotheses, 1):
        _within(one.weakness, count, f"hypothesis {number}: weakness")
        _says(one.change, f"hypothesis {number}: change")
        if _plain(one.change) in before:
            raise ValueError(f"hypothesis {number} was tried already, or is being tried; find another")
    _different((one.weakness for one in found.hypotheses), "weaknesses of the hypotheses")
    return found


# ---- plan ----


def editable(parts: Sequence[Block]) -> list[int]:
    """The numbers of the blocks that an edit may be about: no code, no tables."""
    return [number for number, part in enumerate(parts, 1) if part.kind in ("prose", "list", "heading") and part.text]


def plan_schema(count: int, ideas: int) -> dict[str, object]:
    one = closed(paragraph=integer(1, count), hypothesis=integer(1, ideas), instruction=string(500))
    return closed(edits=listed(one, 6, 1))


def plan(text: str, parts: Sequence[Block], ideas: int) -> Plan:
    """One to six edits, each of another paragraph that can be edited, each for a hypothesis."""
    found, may = parse(text, Plan), editable(parts)
    _between(len(found.edits), 1, 6, "edits")
    for number, one in enumerate(found.edits, 1):
        if one.paragraph not in may:
            raise ValueError(f"edit {number}: paragraph {one.paragraph} cannot be edited; these can: {may}")
        _within(one.hypothesis, ideas, f"edit {number}: hypothesis")
        _says(one.instruction, f"edit {number}: instruction")
    _different((one.paragraph for one in found.edits), "paragraphs of the edits")
    return found


# ---- assessment ----


def assessment_schema(count: int) -> dict[str, object]:
    one = closed(edit=integer(1, count), gain=integer(0, 10), risk=integer(0, 10), reason=string(400))
    return closed(verdicts=listed(one, count, count))


def assessment(text: str, count: int) -> Verdicts:
    """One verdict for each edit, with a reason; not the same numbers for all of three edits or more."""
    found = parse(text, Verdicts)
    if sorted(one.edit for one in found.verdicts) != list(range(1, count + 1)):
        raise ValueError(f"give one verdict for each edit from 1 to {count}")
    for one in found.verdicts:
        if not (0 <= one.gain <= 10 and 0 <= one.risk <= 10):
            raise ValueError(f"verdict on edit {one.edit}: gain and risk go from 0 to 10")
        _says(one.reason, f"verdict on edit {one.edit}: reason")
    if count > 2 and len({(one.gain, one.risk) for one in found.verdicts}) == 1:
        raise ValueError("all edits have the same gain and risk; tell them apart")
    return found


# ---- revision ----


def revision_schema(wanted: Sequence[int]) -> dict[str, object]:
    one = closed(paragraph={"type": "integer", "enum": list(wanted)}, text=string(8000))
    return closed(paragraphs=listed(one, len(wanted), len(wanted)))


def revision(text: str, parts: Sequence[Block], wanted: Sequence[int]) -> dict[int, str]:
    """The new text of each paragraph that was asked for, and of no other, its facts and links kept."""
    found = parse(text, Paragraphs)
    if sorted(one.paragraph for one in found.paragraphs) != sorted(wanted):
        raise ValueError(f"give the paragraphs {', '.join(map(str, wanted))}, each once, and no other")
    return {one.paragraph: _revised(one, parts[one.paragraph - 1]) for one in found.paragraphs}


def _revised(one: Paragraph, old: Block) -> str:
    new, name = _unnumbered(one, old), f"paragraph {one.paragraph}"
    if " ".join(new.split()) == " ".join(old.text.split()):
        raise ValueError(f"{name} is unchanged; make the edit")
    kinds = {part.kind for part in prose.blocks(new)}
    if old.kind == "heading" and (kinds != {"heading"} or "\n" in new):
        raise ValueError(f"{name} is a heading and must stay one line that begins with {'#' * old.level}")
    if old.kind != "heading" and kinds & {"heading", "code"}:
        raise ValueError(f"{name} must stay text: no heading and no block of code")
    lost = [*(prose.facts(old.text).keys() - prose.facts(new).keys())]
    lost += [*(prose.links(old.text).keys() - prose.links(new).keys())]
    if lost:
        raise ValueError(f"{name} lost {', '.join(map(repr, sorted(lost)))}; keep each number, code and link")
    share = len(prose.words(new)) / max(len(prose.words(old.text)), 1)
    if old.kind != "heading" and not SHORTEST <= share <= LONGEST:
        raise ValueError(f"{name} has {share:.2g} times the words of the old one; stay within {SHORTEST} and {LONGEST}")
    return new.replace("\n", prose.line_end(old.text)) + (prose.line_end(old.text) if old.text.endswith("\n") else "")


def _unnumbered(one: Paragraph, old: Block) -> str:
    """The new text without the number under which the paragraph was shown; one that it begins with itself stays."""
    new = re.sub(r"\r\n?", "\n", one.text.strip())
    found = _NUMBER.match(new)
    mine = found is not None and int(found[1]) == one.paragraph and not _NUMBER.match(old.text)
    return new[found.end() :] if found is not None and mine else new


# ---- what several ask ----


def _between(count: int, least: int, most: int, what: str) -> None:
    if not least <= count <= most:
        raise ValueError(f"give {least} to {most} {what}, not {count}")


def _within(number: int, most: int, what: str) -> None:
    if not 1 <= number <= most:
        raise ValueError(f"{what} must be a number from 1 to {most}, not {number}")


def _says(text: str, what: str) -> None:
    found = prose.words(text)
    if len(found) < LEAST_WORDS or len({word.lower() for word in found}) < LEAST_WORDS - 1:
        raise ValueError(f"{what} must say something in a sentence, not {text[:60]!r}")


def _different(values: Iterable[object], what: str) -> None:
    known = list(values)
    if len(set(known)) < len(known):
        raise ValueError(f"the {what} must differ from each other")


def _plain(text: str) -> str:
    return " ".join(word.lower() for word in prose.words(text))
