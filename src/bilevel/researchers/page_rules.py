"""The level-1 researcher of pages that asks no model: small edits by rules, chosen by chance.

It edits Markdown in English: plain words for wordy turns, two sentences for one, two paragraphs for one, a list for an
enumeration, headings, and cuts. It cannot read, so some of what it proposes is worse, or loses what must be kept: the
measurement says so.
"""

import functools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bilevel import prose
from bilevel.prose import Block, joined
from bilevel.space import Candidate
from bilevel.trial import Proposal
from bilevel.view import Briefing, View

EDITS = {"exploit": 1, "balanced": 2, "explore": 4}  # how many edits a proposal makes: what level 1.5 turns
TRIES = 8  # how often other edits are drawn where these were measured before
LONG_SECTION = 100  # words of a section before a heading is proposed within it
PLAIN = {
    "in order to": "to", "due to the fact that": "because", "in the event that": "if", "at this point in time": "now",
    "for the purpose of": "for", "with regard to": "about", "a number of": "several", "a large number of": "many",
    "the majority of": "most", "has the ability to": "can", "have the ability to": "can", "is able to": "can",
    "are able to": "can", "it is important to note that ": "", "it should be noted that ": "", "please note that ": "",
    "utilize": "use", "utilizes": "uses", "utilized": "used", "utilizing": "using", "prior to": "before",
    "subsequent to": "after", "in terms of": "in", "whether or not": "whether", "leverage": "use",
    "facilitates": "helps", "facilitate": "help", "functionality": "function", "very ": "", "really ": "",
    "basically ": "", "simply ": "", "actually ": "", "quite ": "", "just ": "",
}  # fmt: skip
_JOINTS = re.compile(r"; |, (?=but )|, and (?=(?:the|it|they|this|these|there|in|neither|a|an|its|each)\b)")
_FILLERS = """about after before because could every other should since their there these those unless until which while
would without"""
_NO_TITLE = frozenset(_FILLERS.split())
_COLON = re.compile(r"^(?P<head>[^:]{10,}):\s+(?P<rest>.+)\.$", re.DOTALL)


@dataclass(frozen=True)
class Edit:
    """One possible edit of a text: what it does, in a few words, and the text after it."""

    what: str
    text: str

    @property
    def kind(self) -> str:
        return self.what.partition(":")[0]


@dataclass(frozen=True)
class PageRules:
    """Proposes pages with one or a few edits that were not measured together yet."""

    name: str = field(default="page_rules", init=False)
    reads_advice: bool = field(default=False, init=False)
    free: bool = field(default=True, init=False)

    def propose(self, view: View, parent: Candidate, briefing: Briefing) -> Sequence[Proposal]:
        """Up to `view.settings.drafts` proposals, none of them measured.

        Where no edit of the parent is left, they are made anew from the pages as they began, with many edits at once.
        """
        found: dict[str, Proposal] = {}
        first = view.trace.baseline
        for draw in range(2 * TRIES):
            rng = view.rng(f"{self.name}/{briefing.attempt}/{draw}")
            anew = draw >= TRIES and first is not None
            base = first.candidate if anew and first is not None else parent
            count = rng.randint(6, 30) if anew else EDITS[view.settings.strategy]
            files, made = _edited(base.files, count, anew or view.settings.strategy == "explore", rng)
            candidate = Candidate(parent.params, files)
            if made and candidate.id != parent.id and view.trace.of(candidate.id) is None:
                why = f"from the beginning, {len(made)} edits" if anew else "; ".join(made)
                found.setdefault(candidate.id, Proposal(candidate, why, self.name))
            if len(found) == view.settings.drafts:
                break
        return list(found.values())


def _edited(old: Mapping[str, str], count: int, cuts: bool, rng: random.Random) -> tuple[dict[str, str], list[str]]:
    """Files after so many edits, or as many as there are, and what the edits were; each kind as likely as another."""
    files, made = dict(old), list[str]()
    for _ in range(count):
        options = [(name, edit) for name in sorted(files) for edit in edits(files[name], cuts)]
        if not options:
            break
        kind = rng.choice(sorted({edit.kind for _, edit in options}))
        name, edit = rng.choice([one for one in options if one[1].kind == kind])
        files[name] = edit.text
        made.append(edit.what)
    for name, text in old.items():
        if prose.line_end(text) != "\n":
            files[name] = re.sub(r"\r?\n", prose.line_end(text), files[name])
    return files, made


@functools.lru_cache(512)
def edits(text: str, cuts: bool = True) -> tuple[Edit, ...]:
    """Every single edit that the rules know for a text; `cuts`: whole sentences may go, too."""
    parts = prose.blocks(text)
    found: list[Edit] = []
    for place, part in enumerate(parts):
        before, after = parts[:place], parts[place + 1 :]
        for what, blocks in _of_block(part, parts, place):
            new = joined([*before, *blocks, *after])
            if new != text and (cuts or not what.startswith("cut")):
                found.append(Edit(what, new))
    return tuple(found)


def _of_block(part: Block, parts: Sequence[Block], place: int) -> Iterator[tuple[str, list[Block]]]:
    """What may come in place of a block."""
    if part.kind == "heading":
        yield from _levels(part, parts, place)
    if part.kind not in ("prose", "list"):
        return
    for found in _wordy(part.text):
        yield f"plain words: {found[0].strip().lower()}", [_with(part, _plainer(part.text, found))]
    for found in _JOINTS.finditer(part.text):
        yield f"split a sentence: at {found[0].strip()!r}", [_with(part, _split(part.text, found))]
    if part.kind == "prose":
        yield from _of_paragraph(part, parts, place)


def _of_paragraph(part: Block, parts: Sequence[Block], place: int) -> Iterator[tuple[str, list[Block]]]:
    lines = prose.sentences(part.text)
    for cut in range(1, len(lines)):
        first, second = " ".join(lines[:cut]), " ".join(lines[cut:])
        yield "two paragraphs: for one", [Block("prose", first + "\n", "\n"), _with(part, second)]
    for number, line in enumerate(lines):
        items = _listed(line)
        if items:
            yield "a list: for an enumeration", _as_list(part, lines, number, items)
        if len(lines) > 1 and not prose.facts(line) and not prose.links(line):
            yield "cut: a sentence", [_with(part, " ".join([*lines[:number], *lines[number + 1 :]]))]
    title = _title(part, parts)
    above = next((one.level for one in reversed(parts[:place]) if one.level), 0)
    if title and _words_since_heading(parts, place) > 0 and _section(parts, place) > LONG_SECTION:
        yield f"a heading: {title}", [Block("heading", f"{'#' * min(max(above, 2), 6)} {title}\n", "\n"), part]


def _with(part: Block, text: str) -> Block:
    return replace(part, text=text if text.endswith("\n") else text + "\n")


def _wordy(text: str) -> Iterator[re.Match[str]]:
    """Wordy turns outside of code."""
    code = [found.span() for found in re.finditer(r"`[^`]*`", text)]
    for turn in PLAIN:
        for found in re.finditer(rf"\b{re.escape(turn)}" + ("" if turn.endswith(" ") else r"\b"), text, re.IGNORECASE):
            if not any(start <= found.start() < end for start, end in code):
                yield found


def _plainer(text: str, found: re.Match[str]) -> str:
    """The text with one wordy turn replaced; a capital letter stays one."""
    new = PLAIN[found[0].lower()]
    if found[0][0].isupper():
        new = new[:1].upper() + new[1:]
        if not new:
            return text[: found.start()] + text[found.end() : found.end() + 1].upper() + text[found.end() + 1 :]
    return text[: found.start()] + new + text[found.end() :]


def _split(text: str, found: re.Match[str]) -> str:
    """The text with a full stop at a joint between two clauses."""
    rest = text[found.end() :]
    return f"{text[: found.start()]}. {rest[:1].upper()}{rest[1:]}"


def _listed(line: str) -> list[str]:
    """The parts of an enumeration after a colon, three at least; else nothing."""
    found = _COLON.match(line)
    parts = re.split(r",\s+(?:and\s+)?|\s*;\s+(?:and\s+)?", found["rest"]) if found else []
    return [part.strip() for part in parts] if len(parts) > 2 and all(part.strip() for part in parts) else []


def _as_list(part: Block, lines: Sequence[str], number: int, items: Sequence[str]) -> list[Block]:
    before = [*lines[:number], lines[number].partition(":")[0] + ":"]
    after = " ".join(lines[number + 1 :])
    lead, listed = Block("prose", " ".join(before) + "\n", "\n"), "".join(f"- {item}\n" for item in items)
    if after:
        return [lead, Block("list", listed, "\n"), _with(part, after)]
    return [lead, Block("list", listed, part.gap)]


def _levels(part: Block, parts: Sequence[Block], place: int) -> Iterator[tuple[str, list[Block]]]:
    """A heading that skips a level, one level below the one above it."""
    above = next((one.level for one in reversed(parts[:place]) if one.level), 0)
    if part.level > above + 1:
        yield "heading level: no skip", [_with(part, "#" * (above + 1) + part.text.lstrip("#"))]


def _title(part: Block, parts: Sequence[Block]) -> str:
    """A heading for a paragraph: the long word that it has most often, twice at least, and no heading has yet."""
    taken = {word.lower() for one in parts if one.level for word in prose.words(one.text)} | _NO_TITLE
    count = Counter(word.lower() for word in prose.words(part.text) if len(word) > 4 and word.lower() not in taken)
    best, often = max(count.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
    return best[:1].upper() + best[1:] if often > 1 else ""


def _section(parts: Sequence[Block], place: int) -> int:
    """The words of the section in which a block stands."""
    start = max((i + 1 for i in range(place) if parts[i].level), default=0)
    end = next((i for i in range(place, len(parts)) if parts[i].level), len(parts))
    return sum(len(prose.words(item)) for one in parts[start:end] for item in one.items)


def _words_since_heading(parts: Sequence[Block], place: int) -> int:
    start = max((i + 1 for i in range(place) if parts[i].level), default=0)
    return sum(len(prose.words(item)) for one in parts[start:place] for item in one.items)
