"""Texts with a head: lines `key: value` between two lines of `---`, then the text itself.

A key that stands alone is followed by its values, each a line that begins with "- ".
"""

from collections.abc import Collection
from dataclasses import dataclass

MOST_CHARACTERS = 6000
MARK = "---"


@dataclass(frozen=True)
class Headed:
    """A text and its head. Each key has a list of values, in order."""

    head: dict[str, list[str]]
    body: str

    def one(self, key: str, default: str = "") -> str:
        """The value of a key that has one."""
        return (self.head.get(key) or [default])[0]


def headed(text: str, keys: Collection[str]) -> Headed:
    """A text's head and body. Raises ValueError with all that is wrong, in sentences for the author."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"a text has at most {MOST_CHARACTERS:,} characters, not {len(text):,}")
    if "\0" in text:
        raise ValueError("a text has no NUL characters; write it in UTF-8")
    lines = text.removeprefix("\ufeff").strip().splitlines()
    if not lines or lines[0].strip() != MARK:
        return Headed({}, text.strip())
    end = next((n for n, line in enumerate(lines) if n and line.strip() == MARK), None)
    if end is None:
        raise ValueError(f"the head of the text has no end: a line of {MARK}")
    head: dict[str, list[str]] = {}
    wrong: list[str] = []
    last = ""
    for line in lines[1:end]:
        key, colon, value = line.partition(":")
        if line.strip().startswith("- ") and last:
            head[last].append(line.strip()[2:].strip())
        elif colon and key.strip() in keys:
            last = key.strip()
            if last in head:
                wrong.append(f"{last}: it stands in the head twice")
            head[last] = [value.strip()] if value.strip() else []
        elif line.strip():
            wrong.append(f"line {line.strip()!r:.80} of the head cannot be read; its keys are: {', '.join(keys)}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return Headed(head, "\n".join(lines[end + 1 :]).strip())


def only(found: Headed, *single: str) -> list[str]:
    """What is wrong with keys that take one value."""
    return [
        f"{key} takes one value, not {len(found.head[key])}" for key in single if len(found.head.get(key, [""])) != 1
    ]
