"""Lessons: asked for after each cycle, checked, and kept with the trial before which they were drawn."""

from bilevel.errors import GuestError
from bilevel.fold import Record
from bilevel.researcher import Learner, Researcher
from bilevel.trial import KINDS_OF_LESSON, Fault, Lesson
from bilevel.view import View

MOST_LESSONS = 4  # drawn after one cycle


def learn(researcher: Researcher, view: View, every: int, record: Record) -> tuple[Lesson, ...]:
    """The lessons that are due for the trial of `view`, those that hold; what does not is a fault in `record`.

    They are due after every `every` trials (0 is never), from a researcher that learns, where a model can be asked.
    """
    due = every > 0 and view.number > 1 and (view.number - 1) % every == 0
    if not due or view.asks is None or not isinstance(researcher, Learner):
        return ()
    who = f"researcher {researcher.name}"
    try:
        lessons = tuple(researcher.learn(view))
    except GuestError as error:
        record.faults.append(Fault(who, "learn", str(error)[:500]))
        return ()
    sound = []
    for lesson in lessons:
        problem = lesson_problem(lesson, len(view.trace))
        if problem is None:
            sound.append(lesson)
        else:
            record.faults.append(Fault(who, "learn", f"lesson dropped: {problem}"))
    return tuple(sound[:MOST_LESSONS])


def lesson_problem(lesson: Lesson, trials: int) -> str | None:
    """Why a lesson does not hold, or None; the trace has `trials` trials."""
    if lesson.kind not in KINDS_OF_LESSON:
        return f"kind {lesson.kind!r} is none of {', '.join(KINDS_OF_LESSON)}"
    if not 0 <= lesson.confidence <= 1:
        return f"confidence {lesson.confidence!r} is not between 0 and 1"
    if not lesson.summary.strip() or not lesson.rule.strip() or len(lesson.summary) + len(lesson.rule) > 1000:
        return "summary and rule must be there, and have at most 1,000 characters together"
    missing = [number for number in lesson.trials if not 0 <= number < trials]
    return f"it rests on trials that do not exist: {missing}" if missing else None
