"""Anybody's text in Markdown, and texts line by line in both documents: nothing in it is markup."""

import re

from bilevel.compare.drawing import text

SPECIAL = re.compile(
    r"[\\`*\[\]<>|#~$]"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # within a word it is no markup
    r"|&(?=#?\w+;)"  # the name of another character
)
BULLET = re.compile(r"^([-+=]+|\d{1,9}(?=[.)]))(?=[.)]?(\s|$))")  # what begins a list, or a heading, in a line
DIFF = {"+": "ins", "-": "del", "@": "at"}  # classes of a patch's lines on a page


def said(text: object) -> str:
    """Anybody's text as part of a line of Markdown: no markup, no line break, no character that is not seen."""
    flat = " ".join(str(text).split())
    return SPECIAL.sub(r"\\\g<0>", "".join(c if c.isprintable() else "\ufffd" for c in flat))


def begun(text: object) -> str:
    """The same where it begins a line."""
    line = said(text)
    bullet = BULLET.match(line)
    if bullet is None:
        return line
    return f"\\{line}" if not line[0].isdigit() else f"{bullet[1]}\\{line[bullet.end(1) :]}"


def fenced(lines: str, language: str) -> list[str]:
    """A text as it is, as a block of Markdown that nothing in it can end."""
    shown = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in lines.expandtabs(4)).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *shown.split("\n"), fence]


def block(lines: str, language: str) -> str:
    """The same on a page; the lines of a patch have the colours of what came and what went."""
    shown = [text(line.expandtabs(4)) for line in lines.rstrip("\n").split("\n")]
    if language == "diff":
        shown = [_coloured(line) for line in shown]
    return f'<pre tabindex="0">{chr(10).join(shown)}</pre>\n'


def _coloured(line: str) -> str:
    kind = "" if line.startswith(("+++", "---")) else DIFF.get(line[:1], "")
    return f'<span class="{kind}">{line}</span>' if kind else line
