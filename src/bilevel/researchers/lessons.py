"""Lessons: what a model makes of the trials of a cycle."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from bilevel.researchers.answer import parse
from bilevel.researchers.schemas import closed, fitting, integer, listed, one_of, text
from bilevel.trace import Trace
from bilevel.trial import KINDS_OF_LESSON, Lesson, Trial

MOST = 4
MOST_CHARACTERS = 400  # of a summary, and of a rule


class LessonModel(BaseModel):
    """`rule` says when to use it and how; `trials` are the numbers of the trials that show it."""

    kind: Literal["works", "fails", "interaction", "limit", "method"]
    summary: str = Field(min_length=1)
    rule: str = Field(min_length=1)
    confidence: float
    trials: list[int]


class LessonsModel(BaseModel):
    """One to four lessons."""

    lessons: list[LessonModel]


def lessons_schema(trials: int, most_tokens: int) -> dict[str, Any]:
    """The JSON schema of a `LessonsModel` about a trace of so many trials, in an answer of `most_tokens`."""
    words = {**text(most_tokens, MOST_CHARACTERS), "minLength": 1}
    lesson = closed(
        kind=one_of(KINDS_OF_LESSON),
        summary=words,
        rule=words,
        confidence={"type": "number", "minimum": 0, "maximum": 1},
        trials=listed(integer(0, max(trials - 1, 0)), fitting(most_tokens, 100, 12)),
    )
    return closed(lessons=listed(lesson, fitting(most_tokens, 120, MOST)))


def trials_since(trace: Trace) -> list[Trial]:
    """The trials after those that the last lessons were drawn from; at first all after the baseline."""
    drawn = next((trial.number for trial in trace.newest() if trial.learned), 1)
    return trace[drawn:]


def read_lessons(answer: str, trace: Trace, known: Sequence[Lesson]) -> tuple[Lesson, ...]:
    """The lessons of an answer that hold, at most four. Raises ValueError where there are some, and none holds."""
    told = parse(answer, LessonsModel).lessons
    old = {lesson.summary for lesson in known}
    problems: list[str] = []
    lessons: list[Lesson] = []
    for number, lesson in enumerate(told, 1):
        summary, rule = _short(lesson.summary), _short(lesson.rule)
        missing = [trial for trial in lesson.trials if not 0 <= trial < len(trace)]
        if missing:
            problems.append(f"lesson {number}: there are no trials {', '.join(map(str, missing))}")
        elif not (math.isfinite(lesson.confidence) and 0 <= lesson.confidence <= 1):
            problems.append(f"lesson {number}: confidence must lie between 0 and 1")
        elif not summary or not rule:
            problems.append(f"lesson {number}: summary and rule must not be empty")
        elif summary in old:
            problems.append(f"lesson {number}: this lesson is known already")
        else:
            old.add(summary)
            trials = tuple(sorted(set(lesson.trials)))
            lessons.append(Lesson(lesson.kind, summary, rule, lesson.confidence, trials))
    if problems and not lessons:
        raise ValueError("; ".join(problems))
    return tuple(lessons[:MOST])


def _short(text: str) -> str:
    words = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return words if len(words) <= MOST_CHARACTERS else words[: MOST_CHARACTERS - 1] + "…"
