"""Addenda to the prompts of single steps: lines of guidance that begin with a step's name and a colon."""

from collections.abc import Collection, Iterator

ALL = "all steps"  # the name of what is said to all of them: the lines that name none


def for_step(guidance: str, step: str, steps: Collection[str]) -> str:
    """What a guidance says to one step: its own lines, and those that name none."""
    return "\n".join(text for name, text in _lines(guidance, steps) if name in (step, ALL)).strip()


def parts(guidance: str, steps: Collection[str]) -> dict[str, str]:
    """The addenda of a guidance by the step that each is for; `ALL` for what names none. Those that say nothing are
    left out."""
    found: dict[str, list[str]] = {}
    for name, text in _lines(guidance, steps):
        found.setdefault(name, []).append(text)
    joined = {name: "\n".join(lines).strip() for name, lines in found.items()}
    return {name: text for name, text in joined.items() if text}


def changed(old: str, new: str, steps: Collection[str]) -> list[str]:
    """The steps whose addenda two guidances do not share."""
    mine, theirs = parts(new, steps), parts(old, steps)
    return [name for name in (*steps, ALL) if mine.get(name) != theirs.get(name)]


def without(guidance: str, name: str, steps: Collection[str]) -> str:
    """A guidance without the addendum of one step."""
    rest = [(one, text) for one, text in _lines(guidance, steps) if one != name]
    lines = [text if one == ALL else f"{one}: {text}" for one, text in rest]
    return "\n".join(lines).strip() + "\n" if any(line.strip() for line in lines) else ""


def _lines(guidance: str, steps: Collection[str]) -> Iterator[tuple[str, str]]:
    for line in guidance.strip().splitlines():
        name, colon, rest = line.strip().lstrip("-* ").partition(":")
        named = name.strip().lower() if colon else ""
        yield (named, rest.strip()) if named in steps else (ALL, line)
