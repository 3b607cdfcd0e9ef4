"""Lessons that fit the place where the search stands are retrieved, and which ones is recorded with each proposal."""

from dataclasses import replace

from bilevel.codec import content_hash
from bilevel.mechanism import Mechanism
from bilevel.space import Candidate
from bilevel.trial import Lesson, Proposal
from bilevel.view import Briefing, View


class EarlierLessons(Mechanism):
    """The `most` lessons that name the most active parameters, confidence breaking ties, are told with an id: eight
    digits of their content's hash. Each draft carries the ids as notes["lessons"]."""

    domain = "case-based reasoning"
    most = 3

    def advise(self, view: View, briefing: Briefing) -> Briefing:
        found = self._retrieved(view)
        if not found:
            return briefing
        lines = [f"[{self._id(lesson)}] {lesson.summary}: {lesson.rule}" for lesson in found]
        return briefing.with_block("lessons", "\n".join(lines), priority=5)

    def propose(self, view: View, parent: Candidate, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        ids = [self._id(lesson) for lesson in self._retrieved(view)]
        if not ids:
            return proposals
        return tuple(replace(proposal, notes={**proposal.notes, "lessons": ids}) for proposal in proposals)

    def _retrieved(self, view: View) -> list[Lesson]:
        ranked = sorted(
            view.lessons, key=lambda lesson: (-self._fit(view, lesson), -lesson.confidence, self._id(lesson))
        )
        return [lesson for lesson in ranked if self._fit(view, lesson)][: self.most]

    def _fit(self, view: View, lesson: Lesson) -> int:
        text = f"{lesson.summary} {lesson.rule}"
        return sum(name in text for name in view.space.active)

    def _id(self, lesson: Lesson) -> str:
        return content_hash(lesson)[:8]
