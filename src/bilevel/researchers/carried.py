"""The texts that a model researcher carries, put to work: prompts, skills and memory rules.

A prompt text named like one of the researcher's templates replaces it; another one is added to its system message.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bilevel.carrying import carrier_of
from bilevel.hints import values_in
from bilevel.mechanism import Guest
from bilevel.researchers.headed import MOST_CHARACTERS
from bilevel.researchers.remembering import read_memory
from bilevel.researchers.skills import Skill, read_skill
from bilevel.space import Space
from bilevel.trial import Lesson
from bilevel.view import Briefing, View

_PLACE = re.compile(r"\{\{(\w*)\}\}")
SKILL_PRIORITY = 5  # above most advice: it was asked for by a condition that holds


@dataclass(frozen=True)
class Told:
    """What a researcher works with for one trial: the view, the briefing and the templates as the texts make them."""

    view: View
    briefing: Briefing
    prompts: Mapping[str, str]


@dataclass(frozen=True)
class Carried:
    """The texts that a researcher carries. `templates`: those that a prompt text may replace; `system`: the one to
    which other prompt texts are added."""

    guests: tuple[Guest, ...]
    prompts: Mapping[str, str]
    system: str
    templates: tuple[str, ...] = ()

    def told(self, view: View, briefing: Briefing) -> Told:
        """What the researcher is told for a trial."""
        view = replace(view, lessons=self.remembered(view))
        for skill in self.retrieved(view):
            briefing = briefing.with_block(f"skill {skill.name}", skill.shown(view.trace), SKILL_PRIORITY)
        return Told(view, briefing, self.filled)

    def used(self, view: View) -> frozenset[str]:
        """The names of the texts that have a say in what a model is asked for this trial."""
        skills = {f"skill:{skill.name}" for skill in self.retrieved(view)}
        prompts = {text.name for text in self._of("prompt") if self._changes(text)}
        rules = {text.name for text in self._of("memory") if self.remembered(view) != self.remembered(view, text)}
        return frozenset(skills | prompts | rules)

    def refusal(self, text: Guest, space: Space | None) -> str | None:
        """Why a text cannot be used, in sentences for its author, or None."""
        carrier, _, name = text.name.partition(":")
        try:
            match carrier:
                case "skill":
                    said, where = read_skill(text, space).body, "the skill"
                case "memory":
                    read_memory(text)
                    return None
                case _:
                    said, where = self._prompt(name, text.source), "the prompt"
        except ValueError as error:
            return str(error)
        return (
            "; ".join(values_in(space or Space({}), said, known=self.prompts.get(name, "").splitlines(), where=where))
            or None
        )

    def retrieved(self, view: View) -> list[Skill]:
        """The skills whose conditions hold."""
        domain = Space(view.space.domains)
        return [skill for skill in (read_skill(text, domain) for text in self._of("skill")) if skill.fits(view)]

    def remembered(self, view: View, without: Guest | None = None) -> tuple[Lesson, ...]:
        """The lessons that the memory rules let through, all or all but one."""
        lessons = view.lessons
        for text in self._of("memory"):
            if text != without:
                lessons = read_memory(text).of(lessons, view)
        return lessons

    @cached_property
    def filled(self) -> Mapping[str, str]:
        """The templates with the prompt texts in them."""
        prompts = dict(self.prompts)
        for text in self._of("prompt"):
            name = text.name.partition(":")[2]
            if name in self.templates:
                prompts[name] = text.source
        added = [text.source.strip() for text in self._of("prompt") if not self._is_template(text)]
        if added:
            prompts[self.system] = "\n\n".join([prompts[self.system].rstrip(), *added]) + "\n"
        return prompts

    def _prompt(self, name: str, text: str) -> str:
        """A prompt text. Raises ValueError where it is none."""
        if not text.strip() or len(text) > MOST_CHARACTERS:
            raise ValueError(f"a prompt has 1 to {MOST_CHARACTERS:,} characters, not {len(text):,}")
        wanted = _PLACE.findall(self.prompts[name]) if name in self.templates else []
        if sorted(set(_PLACE.findall(text))) != sorted(set(wanted)):
            places = ", ".join(f"{{{{{place}}}}}" for place in sorted(set(wanted)))
            raise ValueError(
                f"the prompt {name!r} needs exactly the places {places}"
                if wanted
                else f"the prompt {name!r} is added to the system message, where nothing is filled in: leave out "
                "{{...}}; the templates that can be replaced are: " + (", ".join(self.templates) or "none")
            )
        return text

    def _changes(self, text: Guest) -> bool:
        name = text.name.partition(":")[2]
        return not self._is_template(text) or text.source != self.prompts[name]

    def _is_template(self, text: Guest) -> bool:
        return text.name.partition(":")[2] in self.templates

    def _of(self, carrier: str) -> Sequence[Guest]:
        return [text for text in self.guests if carrier_of(text.name) == carrier]
