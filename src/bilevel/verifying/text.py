"""A report in words and tables against the one that the records give: number by number, line by line."""

import difflib
import re

from bilevel.verifying.tally import NOTHING, Tally

NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
NAMED = re.compile(r"(--folder )[^\s<]+")  # the folder's name, which may have changed since


def check_text(tally: Tally, name: str, stated: str, given: str) -> None:
    """Compare two texts; a line that differs in numbers alone has each of them named."""
    mine, its = (NAMED.sub(r"\1…", text).splitlines() for text in (stated, given))
    matcher = difflib.SequenceMatcher(None, mine, its, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            tally.checked += sum(len(NUMBER.findall(line)) for line in mine[a:b])
        elif b - a == d - c:
            for number, (one, other) in enumerate(zip(mine[a:b], its[c:d], strict=True), a + 1):
                _check_line(tally, f"{name}, line {number}", one, other)
        else:
            for number, line in enumerate(mine[a:b], a + 1):
                tally.differs(f"{name}, line {number}", repr(_short(line)), NOTHING)
            for line in its[c:d]:
                tally.differs(f"{name}, after line {a}", NOTHING, repr(_short(line)))


def _check_line(tally: Tally, where: str, one: str, other: str) -> None:
    mine, its = NUMBER.findall(one), NUMBER.findall(other)
    tally.checked += len(its)
    if NUMBER.sub("0", one) != NUMBER.sub("0", other):
        tally.differs(where, repr(_short(one)), repr(_short(other)))
        return
    for stated, given in zip(mine, its, strict=True):
        if stated != given:
            tally.differs(where, stated, given)


def _short(line: str) -> str:
    return line if len(line) <= 160 else f"{line[:160]}…"
