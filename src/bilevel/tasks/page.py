"""Task: make a page of documentation easier to read without losing what it says. Measured by rules, by no model.

Five scores of 0 to 100, and their mean, `clarity`. What they measure can be had without being clear: they are a sign of
readability and no proof, and guardrails only keep what was said from getting lost.
"""

import functools
import importlib.resources
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bilevel import prose
from bilevel.budget import Cost
from bilevel.codec import content_hash
from bilevel.lab import Bench
from bilevel.objective import Objective
from bilevel.prose import Block
from bilevel.space import Candidate
from bilevel.tasks import texts
from bilevel.tasks.texts import TextTask, kept
from bilevel.trial import Run, Status

LONG_SENTENCE, LONG_PARAGRAPH, LONG_SECTION = 20, 60, 120  # words; what is beyond counts against a text
FRAGMENT, STUB = 4, 12  # words: a sentence, and a section, with fewer count against it whole
WORDY = re.compile(
    r"\b(in order to|due to the fact that|in the event that|at this point in time|for the purpose of|"
    r"with regard to|a number of|a large number of|the majority of|has the ability to|have the ability to|"
    r"is able to|are able to|it is important to note that|it should be noted that|please note that|as a matter of fact|"
    r"utili[sz]e[sd]?|utili[sz]ing|leverag(?:e|es|ed|ing)|facilitat(?:e|es|ed|ing)|prior to|subsequent to|very|really|"
    r"basically|simply|actually|quite|just|in terms of|functionality|whether or not)\b",
    re.IGNORECASE,
)
BRIEF = """Make these pages of documentation easier to read. Keep every fact: numbers, code, commands and links stay as
they are, the length stays within 30 %, and the words of the subject stay. Better are short sentences and plain words,
short paragraphs, a heading for each matter, lists where several things are listed, and nothing that only fills."""


@dataclass(frozen=True)
class PageTask(TextTask):
    """The task over pages; `page` makes it."""

    @functools.cached_property
    def harness(self) -> str:
        """Changes with the pages, the objective, and the rules that measure."""
        rules = [inspect.getsource(module) for module in (prose, inspect.getmodule(PageTask), texts) if module]
        return content_hash([self.name, dict(self.texts), self.objective, rules])[:16]

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure the pages once; always the same for the same texts. The score is the mean over the pages."""
        if wrong := self.problems(candidate, candidate):
            return Run(bench.rung, bench.seed, Status.REFUSED, log="; ".join(wrong))
        each = [clarity(candidate.files[name]) for name in self.texts]
        metrics = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        return Run(bench.rung, bench.seed, Status.OK, {**metrics, **self.losses(candidate)}, Cost(1))


def page(file: str = "") -> PageTask:
    """The task over a Markdown file, or over the shipped page. Raises InputError for one that cannot be read."""
    if file:
        found = texts.read([Path(file)], "page")
    else:
        shipped = importlib.resources.files("bilevel.catalog") / "tasks" / "page" / "caching.md"
        found = {"caching.md": shipped.read_text("utf-8")}
    objective = Objective("clarity", "points", minimize=False, guardrails=kept(longer=0.3, words=0.15))
    return PageTask("page", found, objective, BRIEF)


def clarity(text: str) -> dict[str, float]:
    """The five scores of a text and their mean, each from 0 to 100."""
    parts = prose.blocks(text)
    said = [item for part in parts for item in part.items]
    lines = [sentence for item in said for sentence in prose.sentences(item)]
    scores = {
        "ease": reading_ease(lines),
        "sentences": _share(_excess(prose.words(line), LONG_SENTENCE, FRAGMENT) for line in lines),
        "paragraphs": _share(_excess(prose.words(item), LONG_PARAGRAPH, 1) for item in said),
        "sections": _sections(parts),
        "directness": max(100.0 - 12.0 * _per_hundred(said), 0.0),
    }
    return {"clarity": sum(scores.values()) / len(scores), **scores}


def reading_ease(lines: Sequence[str]) -> float:
    """The reading ease of sentences, within 0 and 100 (Flesch 1948, doi:10.1037/h0057532)."""
    found = [word for line in lines for word in prose.words(line)]
    if not found:
        return 0.0
    beats = sum(map(prose.syllables, found))
    return min(max(206.835 - 1.015 * len(found) / len(lines) - 84.6 * beats / len(found), 0.0), 100.0)


def _excess(found: Sequence[str], most: int, least: int) -> tuple[int, int]:
    """How many words count against a sentence, a paragraph or a section, and how many it has."""
    return (len(found) if len(found) < least else max(len(found) - most, 0)), len(found)


def _share(counted: Iterator[tuple[int, int]]) -> float:
    """100 less the share of words, in percent, that count against their sentence or paragraph."""
    pairs = list(counted)
    whole = sum(size for _, size in pairs)
    return 100.0 * (1.0 - sum(excess for excess, _ in pairs) / whole) if whole else 0.0


def _sections(parts: Sequence[Block]) -> float:
    """As `_share`, of what stands below each heading; each heading that skips a level costs 10 more."""
    sizes, skips, above = [0], 0, 0
    for part in parts:
        if part.kind == "heading":
            skips += part.level > above + 1
            above = part.level
            sizes.append(0)
        else:
            sizes[-1] += sum(len(prose.words(item)) for item in part.items) or (STUB if part.kind != "prose" else 0)
    counted = [(max(size - LONG_SECTION, 0) if size >= STUB else STUB - size, max(size, STUB)) for size in sizes[1:]]
    counted += [(max(sizes[0] - LONG_SECTION, 0), sizes[0])] if sizes[0] else []
    return max(_share(iter(counted)) - 10.0 * skips, 0.0)


def _per_hundred(said: Sequence[str]) -> float:
    """Wordy turns for each hundred words."""
    count = sum(len(prose.words(item)) for item in said)
    return 100.0 * sum(len(WORDY.findall(item)) for item in said) / count if count else 0.0
