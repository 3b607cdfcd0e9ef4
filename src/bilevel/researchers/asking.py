"""What the outer researchers that are models share: a prompt under its budget, a shorter one where it was too long."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bilevel.call import Message, Request
from bilevel.errors import ContextOverflow
from bilevel.researchers.answer import ask_until
from bilevel.researchers.prompt import Section, compose, fill, tokens
from bilevel.view import Briefing, View

T = TypeVar("T")
MOST_HALVINGS = 2


def filled(prompts: Mapping[str, str], name: str, sections: Sequence[Section], budget: int, **values: object) -> str:
    """A template with its other places filled in, and at `{{material}}` as much of the sections as the budget allows.

    The text has about `budget` tokens at most, unless the template alone has more.
    """
    room = budget - tokens(fill(prompts, name, material="", **values))
    while True:
        text = fill(prompts, name, material=compose(sections, max(room, 0)).rstrip(), **values)
        over = tokens(text) - budget
        if over <= 0 or room <= 0:
            return text
        room -= over


def ask_within(
    view: View,
    write: Callable[[int], str],
    purpose: str,
    read: Callable[[str], T],
    *,
    budget: int,
    most_tokens: int,
    schema: Mapping[str, Any] | None = None,
    temperature: float | None = None,
    reasks: int = 2,
    cut: bool = False,
) -> T:
    """What `read` makes of the answer to the prompt that `write` makes for a budget of tokens.

    Where the prompt is too long for the model it is written again half as long, twice at most. Raises ContextOverflow
    after that, and UnusableReply as `ask_until` does, whose `reasks` and `cut` these are.
    """
    for left in range(MOST_HALVINGS, -1, -1):
        text = write(budget)
        request = Request((Message("user", text),), schema, most_tokens, temperature)
        try:
            return ask_until(view, request, purpose, read, reasks, cut)
        except ContextOverflow:
            if not left:
                raise
        budget = min(budget, tokens(text)) // 2
    raise AssertionError("unreachable")


def told(view: View, briefing: Briefing) -> list[Section]:
    """What a person, the loop's settings and this level's own mechanisms say to the researcher."""
    advice = "\n".join(
        f"- {block.source}: {block.text.strip()[:1500]}" for block in sorted(briefing.blocks, key=lambda b: -b.priority)
    )
    return [
        Section("The task, as a person describes it", view.brief.strip()[:4000], priority=30),
        Section("What a person says meanwhile", view.told.strip()[:4000], priority=95),
        Section("Guidance for you", briefing.guidance.strip()[:4000], priority=75),
        Section("Advice from the mechanisms of your own level", advice, priority=45),
    ]


def head(text: str, budget: int) -> str:
    """The first lines of a text, about `budget` tokens of them."""
    if tokens(text) <= budget:
        return text
    lines, left = list[str](), budget - 12
    for line in text.splitlines():
        left -= tokens(line)
        if left < 0:
            break
        lines.append(line)
    return "\n".join([*lines, "[the rest is left out]"]) if lines else ""
