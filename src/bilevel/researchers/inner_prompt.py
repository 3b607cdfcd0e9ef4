"""What the level-1 model is shown: the sections of its prompt, made from the view, the parent and the briefing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bilevel.call import Message
from bilevel.researchers.history import Teller, change_list, last_lines, patch, quoted, written
from bilevel.researchers.prompt import Section, compose, fence, fill, tokens
from bilevel.researchers.slips import LOG_LINES, log_of
from bilevel.rules import in_words
from bilevel.space import Bool, Candidate, Choice, Derived, Domain, Float, Int, Value
from bilevel.trace import Trace
from bilevel.trial import Lesson, Trial, TurnedBack
from bilevel.view import Briefing, View

LATEST = 8  # trials that are shown before advice and lessons get room
MOST_LESSONS = 8  # beside the skills
LEAST = 600  # tokens that the sections get, however long the rules are
STRATEGIES = {
    "explore": "explore: take wide steps, try what was not tried yet; a gain at once matters less",
    "balanced": "balanced: mix improvements of what works with ideas that were not tried yet",
    "exploit": "exploit: take narrow steps around what works best",
}
REGISTERS = {
    "plain": "Write plainly, in short sentences.",
    "terse": "Write as few words as possible; reasons in note form.",
}


@dataclass(frozen=True)
class Prompt:
    """A prompt, and the files whose whole text is in it."""

    messages: tuple[Message, ...]
    whole: frozenset[str]


@dataclass(frozen=True)
class Desk:
    """All that a question is made of. `files` are the editable texts as the parent has them, with its constants
    written in; `start` the same as the task begins with them; `new` patterns at which files may be made; `planned` the
    number of trials of the whole search, if it is known."""

    view: View
    parent: Candidate
    briefing: Briefing
    teller: Teller
    files: Mapping[str, str]
    start: Mapping[str, str]
    new: Sequence[str]
    prompts: Mapping[str, str]
    planned: int | None = None

    def prompt(self, system: str, sections: Sequence[Section], budget: int) -> Prompt:
        """The prompt of about `budget` tokens."""
        body = compose(sections, max(budget - tokens(system), LEAST))
        whole = frozenset(path for path, text in self.files.items() if _file(path, text).full in body)
        return Prompt((Message("system", system), Message("user", body)), whole)

    def system(self, role: str) -> str:
        """The system message: the role, the rules, and the format of an answer."""
        return fill(self.prompts, role, manner=manner(self.briefing.register), format=self._format())

    def _format(self) -> str:
        if not self.files and not self.new:
            return fill(self.prompts, "inner_format_values")
        constants = (
            "Parameters that stand as constants in a file are changed by `changes`, not by editing the file."
            if self.view.space.active
            else "There are no parameters to change: leave `changes` empty."
        )
        new = f"A new file may be made at: {', '.join(self.new)}. Its SEARCH is empty.\n" if self.new else ""
        return fill(self.prompts, "inner_format_files", constants=constants, new=new)

    # ---- sections, in the order in which they are printed ----

    def task(self) -> list[Section]:
        view = self.view
        return [
            Section("The task", view.brief.strip(), 90),
            Section("Guidance from the person who runs this search", view.told.strip(), 92),
            Section("Where the search stands", "\n".join(self._standing()), 100),
        ]

    def parameters(self) -> Section:
        space = self.view.space
        lines = [self._parameter(name) for name in space.active]
        if fixed := [f"{n} = {self._value(n)} ({self._lock(n)})" for n in space.domains if n not in space.active]:
            lines.append(f"Fixed, not to be changed: {'; '.join(fixed)}")
        return Section("Parameters: the parent's values, and what is allowed", "", 98, tuple(lines))

    def editable(self) -> list[Section]:
        return [_file(path, text) for path, text in self.files.items()]

    def history(self, budget: int) -> list[Section]:
        window, trace = self.briefing.history_window, self.view.trace
        trials = list(trace)[-window:] if window > 0 else list(trace)
        lines = self.teller.lines(trials, budget)
        hidden = f" Only the last {window} trials are shown." if 0 < window < len(trace) else ""
        head = f"{self.teller.totals()}{hidden}" if len(trace) else ""
        return [
            Section("Earlier trials", "", 40, lines[:-LATEST]),
            Section("Latest trials", head, 86, lines[-LATEST:]),
        ]

    def in_flight(self) -> Section:
        lines = tuple(self.teller.pending(pending) for pending in self.view.pending)
        return Section("Trials in flight: do not propose these again", "", 88, lines)

    def lessons(self) -> list[Section]:
        """Skills before others; the most important last, where a short budget cuts last."""
        skills = [lesson for lesson in self.view.lessons if lesson.is_skill]
        return [
            Section("Skills: lessons that are well supported", "", 65, tuple(map(lesson_line, skills))),
            Section("Lessons", "", 60, tuple(map(lesson_line, ranked_lessons(self.view.lessons)[::-1]))),
        ]

    def advice(self) -> list[Section]:
        blocks = sorted(self.briefing.blocks, key=lambda block: -block.priority)
        found = [Section("Guidance for this search", self.briefing.guidance.strip(), 84)]
        return found + [
            Section(f"Advice from {quoted(block.source, 60)[1:-1]}", block.text.strip(), 80 - min(place, 10))
            for place, block in enumerate(blocks)
        ]

    def turned_back(self) -> Section:
        backs = self.briefing.turned_back
        if not backs and not self.briefing.attempt:
            return Section("Turned back")
        text = f"You are asked for this trial again (time {self.briefing.attempt + 1}). Propose something else."
        return Section("Turned back in this trial", text, 96, tuple(map(self._turned_back, backs)))

    def failure(self, failed: Trial) -> list[Section]:
        """What a trial that failed by a slip had changed, and the end of its log."""
        paths = failed.candidate.files_changed_from(failed.parent)
        old, new = ({**self.start, **candidate.files} for candidate in (failed.parent, failed.candidate))
        changed = "\n".join([*change_list(failed.changes), fence(patch(old, new, paths), "diff", most=12_000)])
        log = fence(last_lines(log_of(failed), LOG_LINES), "log of the run", most=6_000)
        return [
            Section(f"What trial #{failed.number} changed against its parent", changed, 96),
            Section(f"The end of the log of trial #{failed.number}", log, 97),
        ]

    def _turned_back(self, back: TurnedBack) -> str:
        known = self.view.trace.of(back.candidate)
        what = f"{self.teller.difference(known.candidate, self.parent)}: " if known else ""
        return f"- {what}{quoted(back.reason, 300)[1:-1]}"

    def _standing(self) -> list[str]:
        view, trace = self.view, self.view.trace
        objective, noise = view.objective, view.trace.noise
        unit = f" ({objective.unit})" if objective.unit else ""
        lines = [f"Objective: {objective.name}{unit}, {'lower' if objective.minimize else 'higher'} is better."]
        if noise.sd:
            lines.append(
                f"Noise: another seed moves the score by {noise.sd:.2g} (standard deviation, {noise.n} measurements). "
                f"A trial is kept if {in_words(trace.rule, noise.margin)}: this {_word(trace)} rules, whatever "
                "the task's text says. Gains are means over the seeds that both have, so they may differ from the "
                "differences of the scores."
            )
        best = trace.incumbent
        first = ", the best so far" if best is not None and best.candidate.id == self.parent.id else ""
        lines.append(f"The parent, which you change: {self._stands(self.parent)}{first}.")
        if best is not None and best.score is not None and best.candidate.id != self.parent.id:
            away = self.teller.difference(best.candidate, self.parent)
            lines.append(
                f"Best so far: {self._stands(best.candidate)}; against the parent it has {away}{self._taking(best)}"
            )
        if view.trials_left is not None:
            lines.append(f"Trials left, this one included: {view.trials_left}.")
        elif self.planned is not None:
            lines.append(f"Trials left, this one included: at most {max(self.planned - view.number + 1, 1)}.")
        return [*lines, f"Strategy: {STRATEGIES.get(view.settings.strategy, view.settings.strategy)}."]

    def _taking(self, best: Trial) -> str:
        """Whether a draft may take over what the best has otherwise."""
        fixed = [name for name in best.candidate.changes_from(self.parent) if name not in self.view.space.active]
        if fixed:
            return f"; {', '.join(fixed)} cannot be changed now."
        return ". A draft may take that over, together with another change."

    def _stands(self, candidate: Candidate) -> str:
        trial = self.view.trace.of(candidate.id)
        if trial is None:
            return "not measured yet"
        score = f"score {trial.score:.6g}" if trial.score is not None else trial.status.value
        return f"#{trial.number}, {score}"

    def _parameter(self, name: str) -> str:
        space = self.view.space
        text = f"- {name} = {self._value(name)}: {allowed(space.domains[name])}"
        if name in space.caps:
            text += f"; now only {self._reach(name)}"
        weight = space.weights.get(name, 1.0)
        if weight != 1.0:
            text += "; leave it for now" if weight == 0 else f"; {'preferred' if weight > 1 else 'less wanted'} now"
        return text

    def _reach(self, name: str) -> str:
        """What a cap on the step leaves of a parameter's domain."""
        domain, old, cap = self.view.space.domains[name], self.parent.params[name], self.view.space.caps[name]
        if isinstance(domain, Float | Int) and domain.check(old) is None:
            here = domain.unit(old)
            ends = [self._farthest(name, old, here, side * cap) for side in (-1, 1)]
            return f"from {written(ends[0])} to {written(ends[1])}"
        return "its current value" if cap < 1 else "within a full step"

    def _farthest(self, name: str, old: Value, here: float, step: float) -> Value:
        """The farthest value within a step; whole numbers may round to one beyond it, so shorter steps are tried."""
        space = self.view.space
        for share in (0.999, 0.75, 0.5, 0.25):
            value = space.clip(name, old, space.domains[name].at(here + share * step))
            if value != old:
                return value
        return old

    def _value(self, name: str) -> str:
        return written(self.parent.params[name]) if name in self.parent.params else "?"

    def _lock(self, name: str) -> str:
        by = self.view.space.frozen.get(name)
        if by is None:
            return "locked by the task"
        return f"frozen for now by {'the settings' if by.startswith('settings (') else quoted(by, 80)[1:-1]}"


def manner(register: str) -> str:
    """How to speak; a register that is not known is taken as a phrase."""
    return REGISTERS.get(register, f"Manner of speaking: {quoted(register)[1:-1]}.")


def allowed(domain: Domain) -> str:
    """A domain in words."""
    match domain:
        case Float(low=low, high=high, log=log):
            return f"number from {low:g} to {high:g}{', logarithmic scale' if log else ''}"
        case Int(low=low, high=high, power_of_two=True):
            return f"power of two from {low} to {high}"
        case Int(low=low, high=high, log=log):
            return f"whole number from {low} to {high}{', logarithmic scale' if log else ''}"
        case Choice(options=options):
            return f"one of {', '.join(map(written, options))}"
        case Bool():
            return "true or false"
        case Derived():
            return "computed, not set"


def ranked_lessons(lessons: Sequence[Lesson]) -> list[Lesson]:
    """The best lessons that are no skills, by confidence and recency alike, the best first."""
    others = [(place / len(lessons) + lesson.confidence, lesson) for place, lesson in enumerate(lessons)]
    ranked = sorted(others, key=lambda pair: -pair[0])
    return [lesson for _, lesson in ranked if not lesson.is_skill][:MOST_LESSONS]


def lesson_line(lesson: Lesson) -> str:
    """A lesson in a line."""
    trials = f"; trials {', '.join(f'#{number}' for number in lesson.trials)}" if lesson.trials else ""
    said = [quoted(lesson.summary, 500)[1:-1]] * bool(lesson.summary)
    said += [f"Rule: {quoted(lesson.rule, 500)[1:-1]}"] * bool(lesson.rule)
    return f"- [{lesson.kind}, confidence {lesson.confidence:.2g}{trials}] {' '.join(said)}"


def _file(path: str, text: str) -> Section:
    size = len(text.splitlines())
    return Section(f"File {path} ({size} lines)", fence(text, f"file {path}", most=len(text) + 1), 94)


def _word(trace: Trace) -> str:
    return "figure" if trace.rule is None or trace.rule.name == "margin" else "rule"
