"""A report before it is HTML or Markdown: sections of words, tables, texts and pictures.

All text in it is anybody's: nothing in it is markup. Only `Picture.svg` and `Picture.legend` are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bilevel.compare.resampling import Estimate

PAGE, TEXT = "report.html", "report.md"  # the files of a report, beside what they are of


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names and what is said of them; what is empty is left out."""

    pairs: Mapping[str, str]


@dataclass(frozen=True)
class Grid:
    """A table. The first `words` columns, and the last one where `ends_in_words`, hold words, the others numbers.

    `effects`: for each row a value with its interval, which a page draws beside the numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    ends_in_words: bool = False
    effects: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A text as it is, line by line. `language` is diff, python, text, toml or sh."""

    title: str
    text: str
    language: str


@dataclass(frozen=True)
class Picture:
    """A chart: its SVG, its legend (markup too) and its caption. `name` is that of its file among the plots."""

    name: str
    svg: str
    legend: str
    caption: str


Block = Words | Items | Facts | Grid | Listing | Picture


@dataclass(frozen=True)
class Section:
    """A part of a report with its title. `short` is what a link to it says."""

    title: str
    short: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """A whole report. `lead`: a few lines below its title; `short`: what came out, sentence by sentence.

    `stamp` names the records that it was made from: they were those of no other moment.
    """

    title: str
    lead: tuple[str, ...]
    short: tuple[str, ...]
    sections: tuple[Section, ...]
    stamp: str

    @property
    def stamped(self) -> str:
        """The last line of a report."""
        return f"Made by bilevel from the records {self.stamp}; `bilevel verify` computes each number of it again."
