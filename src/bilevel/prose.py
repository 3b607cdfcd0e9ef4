"""What a Markdown text is made of: blocks, sentences, words; and what an edit of it must not lose: facts and links.

Pure functions of texts. Sentences and syllables are those of English; words, facts and links those of any language, a
Chinese or Japanese character being a word. `"".join(block.text + block.gap for block in blocks(text))` is the text.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

MARK = "\ufeff"  # some files begin with it: the mark of their encoding, and no part of the first block
SHORT_FORMS = ("e.g.", "i.e.", "etc.", "vs.", "cf.", "Dr.", "Mr.", "Ms.", "No.", "Fig.", "approx.")
_END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[`*_]*[A-Z0-9`\[])")
_SIGN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana and ideographs, written without spaces
_LETTER = rf"[^\W\d_{_SIGN}]"
_WORD = re.compile(rf"[{_SIGN}]|{_LETTER}+(?:['’-]{_LETTER}+)*")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:\s?%)?")
_SPAN = re.compile(r"(`+)(.+?)\1")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
_BARE = re.compile(r"https?://[^\s)>\]]*[^\s)>\].,;:!?'\"*_]")  # what ends a sentence is no part of it
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
_HEADING = re.compile(r"(#{1,6})\s+\S")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True)
class Block:
    """A part of a text and the empty lines after it: "heading", "code", "list", "table" or "prose"."""

    kind: str
    text: str
    gap: str = ""

    @property
    def level(self) -> int:
        """The level of a heading; 0 for what is none."""
        found = _HEADING.match(self.text)
        return len(found[1]) if found and self.kind == "heading" else 0

    @property
    def items(self) -> tuple[str, ...]:
        """What it says, markers taken off: the items of a list, the text of a paragraph; nothing of code and tables."""
        if self.kind == "prose":
            return (self.text,)
        if self.kind != "list":
            return ()
        starts = [found for found in re.finditer(r"^\s*(?:[-*+]|\d+[.)])\s+", self.text, re.MULTILINE)]
        ends = [found.start() for found in starts[1:]] + [len(self.text)]
        return tuple(self.text[found.end() : end].strip() for found, end in zip(starts, ends, strict=True))


def blocks(text: str) -> tuple[Block, ...]:
    """A text in its blocks, in order; each keeps its own line ends, the empty lines after it are its gap."""
    found: list[Block] = []
    if text.startswith(MARK):
        found, text = [Block("prose", "", MARK)], text[len(MARK) :]
    for piece in _pieces(text):
        if piece.strip():
            found.append(Block(_kind(piece), piece))
        elif found:
            found[-1] = replace(found[-1], gap=found[-1].gap + piece)
        else:
            found.append(Block("prose", "", piece))
    return tuple(found)


def joined(parts: tuple[Block, ...] | list[Block]) -> str:
    """The text of blocks; between two of which the first has no gap an empty line comes."""
    text = ""
    for number, part in enumerate(parts):
        whole = part.text if part.text.endswith("\n") or not part.text else part.text + "\n"
        gap = part.gap or ("\n" if number + 1 < len(parts) else "")
        text += whole + gap
    return text


def line_end(text: str) -> str:
    """How the lines of a text end: as on Windows, or plainly."""
    return "\r\n" if "\r\n" in text else "\n"


def _pieces(text: str) -> Iterator[str]:
    """Runs of lines that belong together: a fence whole, a heading alone, else up to an empty line; empty lines."""
    held: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            held.append(line)
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                yield "".join(held)
                held, fence = [], ""
            continue
        alone = not line.strip() or _HEADING.match(line)
        if held and (mark or alone):
            yield "".join(held)
            held = []
        if mark:
            held, fence = [line], mark[1]
        elif alone:
            yield line
        else:
            held.append(line)
    if held:
        yield "".join(held)


def _kind(piece: str) -> str:
    first = piece.splitlines()[0]
    if _FENCE.match(first) or all(line.startswith(("    ", "\t")) for line in piece.splitlines()):
        return "code"
    if _HEADING.match(first):
        return "heading"
    if first.lstrip().startswith("|"):
        return "table"
    return "list" if _ITEM.match(first) else "prose"


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, as they are written."""
    whole = " ".join(text.split())
    found, start = list[str](), 0
    for end in _END.finditer(whole):
        if not whole[start : end.start()].endswith(SHORT_FORMS):
            found.append(whole[start : end.start()].strip())
            start = end.end()
    return [part for part in [*found, whole[start:].strip()] if part]


def words(text: str) -> list[str]:
    """The words of a text, markup taken off: a link is its text, a piece of code one word."""
    plain = _BARE.sub(" ", _SPAN.sub(" code ", _LINK.sub(r"\1", text)))
    return _WORD.findall(unicodedata.normalize("NFC", plain))


def syllables(word: str) -> int:
    """About how many syllables an English word has: groups of vowels, a silent e not counted; at least 1."""
    low = word.lower()
    count = len(re.findall(r"[aeiouy]+", low))
    if low.endswith("e") and not low.endswith(("le", "ee", "ye")) and count > 1:
        count -= 1
    return max(count, 1)


def facts(text: str) -> Counter[str]:
    """What is said word for word: numbers, pieces of code, blocks of code and tables; how often each occurs."""
    found: Counter[str] = Counter()
    for part in blocks(text):
        if part.kind in ("code", "table"):
            found[part.text.strip()] += 1
            continue
        body = _ITEM.sub("", part.text, count=1) if part.kind == "list" else part.text
        body = re.sub(r"(?m)^\s*\d+[.)]\s+", "", body)  # the numbers of a list count nothing
        found.update(span[2].strip() for span in _SPAN.finditer(body))
        rest = _BARE.sub(" ", _LINK.sub(r"\1", _SPAN.sub(" ", body)))
        found.update(number[0].strip().rstrip(",") for number in _NUMBER.finditer(rest))
    return found


def links(text: str) -> Counter[str]:
    """The targets of links and the bare addresses, outside of code; how often each occurs."""
    found: Counter[str] = Counter()
    for part in blocks(text):
        if part.kind != "code":
            body = _SPAN.sub(" ", part.text)
            found.update(link[2] for link in _LINK.finditer(body))
            found.update(_BARE.findall(_LINK.sub(" ", body)))
    return found


def lost(old: str, new: str) -> dict[str, float]:
    """What a text that was made of another one no longer has, and how long it is beside it.

    `facts_lost`, `links_lost`: how many different ones of the old text do not occur in the new one at all. `length`:
    words of the new text for each word of the old one. `words_lost`: the share of the old text's words of five letters
    and more, each counted once and endings left aside, that the new one has not.
    """
    before, after = _content(old), _content(new)
    return {
        "facts_lost": float(len(facts(old).keys() - facts(new).keys())),
        "links_lost": float(len(links(old).keys() - links(new).keys())),
        "length": len(words(new)) / max(len(words(old)), 1),
        "words_lost": len(before - after) / max(len(before), 1),
    }


def _content(text: str) -> set[str]:
    """The stems of the longer words, by the plainest rule that lets plural and tense pass."""
    return {word.lower()[:5] for word in words(text) if len(word) >= 5}
