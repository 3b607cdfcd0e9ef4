"""What the steps of the article workflow are shown: numbered paragraphs, what was tried, and what is told to them."""

from collections.abc import Iterator, Sequence

from bilevel.prose import Block
from bilevel.researchers.headed import MOST_CHARACTERS
from bilevel.researchers.history import quoted
from bilevel.researchers.inner_prompt import MOST_LESSONS, STRATEGIES, ranked_lessons
from bilevel.researchers.prompt import fence
from bilevel.trial import Lesson, Proposal, Status, Trial
from bilevel.view import Briefing, View

WHOLE = 400_000  # characters of a paragraph: no text is longer
TRIED = 6  # trials whose hypotheses the second step is shown
CUT = " [...]"  # what stands in place of what is left out for length


def numbered(parts: Sequence[Block], numbers: Sequence[int], most: int = WHOLE) -> str:
    """Blocks with their numbers, as data; of each so many characters at most."""
    texts = {number: parts[number - 1].text.rstrip() for number in numbers if parts[number - 1].text}
    lines = [f"[{number}] {cut(text, most)}" for number, text in texts.items()]
    return fence("\n\n".join(lines), "article", most=2 * WHOLE)


def cut(text: str, most: int) -> str:
    """A text, or its beginning and a mark that something is left out."""
    return text if len(text) <= most else f"{text[:most]}{CUT}"


def tried(view: View, name: str, window: int = 0) -> list[str]:
    """Hypotheses for an article: measured and not kept, in the last such trials of a window (0 is all), and those
    in flight."""
    lost = [
        trial
        for trial in [*view.trace][-view.settings.history_window :]
        if _about(trial, name) and _measured(trial) and not trial.decision.keep
    ]
    running = [p.proposal for p in view.pending if not p.refused and p.proposal.notes.get("article") == name]
    return list(dict.fromkeys(_said([*(trial.proposal for trial in lost[-TRIED:]), *running])))


def declined(view: View, name: str) -> list[str]:
    """Hypotheses for an article of which no edit was let through, in the last such trials."""
    lost = [t.proposal for t in view.trace if _about(t, name) and not t.runs and t.proposal.notes.get("approved") == []]
    return list(dict.fromkeys(_said(lost[-TRIED:])))


def told(view: View, briefing: Briefing) -> str:
    """What a person, the loop's settings and mechanisms, the skills in force and the lessons say."""
    lines = [cut(view.told.strip(), MOST_CHARACTERS)]
    if (strategy := view.settings.strategy) != "balanced":
        lines.append(f"- strategy: {STRATEGIES.get(strategy, strategy)}")
    lines += [f"- {block.source}: {cut(block.text.strip(), 2 * MOST_CHARACTERS)}" for block in briefing.blocks]
    sure = [lesson for lesson in view.lessons if lesson.is_skill]
    lines += [f"- lesson: {_lesson(one)}" for one in [*sure, *ranked_lessons(view.lessons)[:MOST_LESSONS][::-1]]]
    lines += [f"- turned back: {quoted(back.reason, 300)[1:-1]}" for back in briefing.turned_back]
    return "\n".join(line for line in lines if line)


def itemised(head: str, lines: Sequence[str]) -> str:
    """Lines below a head; nothing where there are none."""
    return (
        "\n".join([head, *(line if line.startswith("- ") else f"- {line}" for line in lines)]) + "\n" if lines else ""
    )


def _lesson(lesson: Lesson) -> str:
    said = [lesson.summary, *([lesson.rule] if lesson.rule != lesson.summary else [])]
    return " ".join(quoted(text, 500)[1:-1] for text in said if text)


def _about(trial: Trial, name: str) -> bool:
    return trial.number > 0 and trial.proposal.notes.get("article") == name


def _measured(trial: Trial) -> bool:
    return bool(trial.runs) and trial.status is not Status.INFRASTRUCTURE


def _said(proposals: Sequence[Proposal]) -> Iterator[str]:
    """The hypotheses in the notes of proposals: notes are a guest's words."""
    for proposal in proposals:
        noted = proposal.notes.get("hypotheses", ())
        yield from (str(change) for change in (noted if isinstance(noted, list | tuple) else ()))
