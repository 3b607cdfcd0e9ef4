"""The rule of guidance: a text from above says where to look, not which value to take.

Values are the researcher's. A line that gives one for a parameter is found, unless it starts with "hint:".
"""

import re
from collections.abc import Iterable

from bilevel.space import Bool, Choice, Derived, Domain, Space, Value

_HINT = re.compile(r"\s*(?:[-*+•>]\s*|\(?\d+[.)]\s*)*[*_]*hint[*_]*\s*:", re.IGNORECASE)
_N = r"[-+]?(?:\d+(?:[,_]\d{3})*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBER = re.compile(rf"(?<![\w.])({_N})(?:\s*(\*\*|\^)\s*(\d{1, 4}))?[kKM]?(?!\w)")
_LIST = rf"#?{_N}(?:\s*(?:,|;|-|–|/|&|\bto\b|\band\b|\bor\b)+\s*#?\d+(?!\w))*"
_COUNTED = (
    r"(?:trials?|times|changes?|cycles?|runs?|seeds?|drafts?|proposals?|candidates?|attempts?|tr(?:y|ies)|crash(?:es)?|"
    r"failures?|success(?:es)?|improvements?|parameters?|iterations?|in a row)"
)
_WHICH = r"(?:(?:more|further|other|recent|last|first|kept|discarded|failed|single|joint|different|new)\s+)?"
_ABOUT = r"(?:a\s+|about\s+|roughly\s+|factor\s+|of\s+)*"
_RESULT = r"(?:gain(?:s|ed)?|improve(?:s|d|ments?)?|better|worse|scored?|scores|noise|margin|sd)"
_FACTS = re.compile(
    "|".join(
        (
            r"^\s*(?:[-*+•>]\s*)?\(?\d+[.)]\s",  # the number of an item
            rf"\b(?:trials?|cycles?|runs?|levels?)\s+{_LIST}",
            rf"\b{_N}\s+(?:(?:out\s+)?of|in)\s+(?:(?:the|its|all|last|first)\s+)*(?:\d+\b|{_COUNTED}\b)",
            rf"\b{_N}\s+{_WHICH}{_COUNTED}\b",
            r"\b(?:first|last|next|past|previous|top)\s+\d+(?![\w.]*\w)",
            rf"\b(?:kept|discarded|failed|crashed|refused)\s+{_N}(?=\s*(?:[,;.)]|$))",
            rf"\b(?:by|factors?)\s+{_ABOUT}{_N}\s?%?(?!\w)",  # how far to go
            rf"\b{_N}\s?(?:%\s+of\b|[x×](?!\w)|-?fold\b)",
            rf"\b{_RESULT}\s+(?:is\s+|was\s+|of\s+|by\s+)*{_N}(?!\w)",
            r"\bn\s*=\s*\d+",
        )
    ),
    re.IGNORECASE,
)
_SWITCHED = re.compile(
    r"\b(?:true|false|enabled?|disabled?|(?:turn|switch)(?:ed)?\b.*\b(?:on|off))\b|"
    r"(?:=|:|\bto)\s*(?:on|off|yes|no|[01])\b",
    re.IGNORECASE,
)


def values_in(space: Space, guidance: str, known: Iterable[str], where: str = "guidance.md") -> list[str]:
    """Which new lines of a guidance give a value for a parameter of the space, in sentences for their author."""
    domains = {name: domain for name, domain in space.domains.items() if not isinstance(domain, Derived)}
    patterns = {name: _name_pattern(name) for name in domains}
    found = []
    for number, line in enumerate(guidance.splitlines(), 1):
        if line in known or _HINT.match(line):
            continue
        named = [name for name, pattern in patterns.items() if pattern.search(line)]
        text = _without_facts(line, [patterns[name] for name in named])
        given = [name for name in named if _gives_value(text, domains[name])]
        if given:
            found.append(
                f"line {number} of {where} gives a value for {', '.join(given)}: {line.strip()[:120]!r}; say in "
                "which direction to look and leave the value to the researcher, or start the line with 'hint:'"
            )
    return found


def _name_pattern(name: str) -> re.Pattern[str]:
    """The name as a whole word, however it is written: TOTAL_BATCH, total batch."""
    return re.compile(rf"(?<![\w.]){re.escape(name).replace('_', '[ _-]')}(?!\w)", re.IGNORECASE)


def _without_facts(line: str, names: list[re.Pattern[str]]) -> str:
    """The line without its numbers that are no values (trials, counts, shares, steps, gains) and without the names."""
    text = _FACTS.sub(lambda found: found[0] if any(name.search(found[0]) for name in names) else " ... ", line)
    for name in names:
        text = name.sub(" ... ", text)
    return text


def _gives_value(text: str, domain: Domain) -> bool:
    if isinstance(domain, Bool):
        return bool(_SWITCHED.search(text))
    numbers = [_as_number(found) for found in _NUMBER.finditer(text)]
    if isinstance(domain, Choice):
        return any(_gives_option(text, numbers, option) for option in domain.options)
    return bool(numbers)


def _gives_option(text: str, numbers: list[float], option: Value) -> bool:
    if isinstance(option, bool):
        return bool(_SWITCHED.search(text))
    if isinstance(option, int | float):
        return option in numbers
    if isinstance(option, tuple):
        return repr(option).replace(" ", "") in text.replace(" ", "")
    word = re.escape(option)
    short = len(option) <= 2  # it may be a word of any sentence: only where it is quoted or assigned
    pattern = rf"[\"'`]{word}[\"'`]|=\s*{word}(?!\w)" if short else rf"(?<!\w){word}(?!\w)"
    return bool(option) and bool(re.search(pattern, text, re.IGNORECASE))


def _as_number(found: re.Match[str]) -> float:
    digits = found[1].replace(",", "").replace("_", "")
    number, power = float(digits), int(found[3] or 1)
    return number**power if power <= 64 and abs(number) <= 1000 else number
