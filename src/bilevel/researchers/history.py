"""Trials as lines of a prompt: typed changes, what came of them, and nothing that a run's text could break out of."""

import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bilevel.space import Candidate, Change, Value
from bilevel.trace import Trace, top_scores
from bilevel.trial import Count, Pending, Status, Trial

LINE = 160  # characters of a text from a run or a model that is quoted in a line
OWN_WORDS = 3
MOST_METRICS = 4  # numbers beside the objective that a line shows
_PLAIN_NAME = re.compile(r"[A-Za-z][\w.%/-]{0,31}")


def quoted(text: str, most: int = LINE) -> str:
    """A text on one line, in quotes that it cannot close, without what Markdown could take for a fence."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    short = plain if len(plain) <= most else plain[: most - 1] + "…"
    return '"' + short.replace('"', "'").replace("`", "'") + '"'


def written(value: Value) -> str:
    """A value as a model should write it: JSON."""
    return json.dumps(_listed(value), ensure_ascii=False)


def counted(number: int, word: str) -> str:
    """A number of things: 1 trial, 2 trials."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def rule_of(trial: Trial, researcher: str = "") -> str:
    """The mechanism that proposed a trial's candidate; empty where the researcher did, or would have without it too.

    Without the researcher's name only authors that the ledger knows are told apart.
    """
    author = trial.proposal.author
    hooks = {name: hooks["propose"] for name, hooks in trial.ledger.items() if "propose" in hooks}
    if author in trial.ledger:
        return author if hooks.get(author, Count()).decisive else ""
    if not researcher or author in (researcher, "baseline") or not trial.number:
        return ""
    touched = [count for count in hooks.values() if count.touched]
    return "" if touched and not any(count.decisive for count in touched) else author


def change_list(changes: Mapping[str, Change]) -> list[str]:
    """Typed changes, `NAME: old -> new`."""
    return [f"{name}: {written(change.old)} -> {written(change.new)}" for name, change in changes.items()]


@dataclass(frozen=True)
class Teller:
    """Tells trials in lines. `author` is the researcher that is told, `start` the files as the task begins with them,
    which a candidate holds only where it changed them. `prose`: trials are told by their authors' words alone, without
    parents and typed changes. `own_words`: of so many of its last trials a researcher is shown its own reasons."""

    trace: Trace
    author: str
    start: Mapping[str, str]
    prose: bool = False
    own_words: int = OWN_WORDS

    def lines(self, trials: Sequence[Trial], most_tokens: int) -> tuple[str, ...]:
        """One line per trial, in order; of a long history the newest, as many as `most_tokens` could hold."""
        mine = [trial.number for trial in self.trace if trial.number and trial.proposal.author == self.author]
        recent, told, room = set(mine[-self.own_words :]), list[str](), most_tokens * 4
        for trial in reversed(trials):
            line = self.line(trial, trial.number in recent)
            told.insert(0, line)
            room -= len(line)
            if room < 0:
                break
        return tuple(told)

    def line(self, trial: Trial, with_reason: bool = False) -> str:
        """What a trial changed, from which parent, how it ended, whether it was kept, and whose idea it was."""
        if self.prose:
            words = quoted(trial.proposal.why) if trial.proposal.why else "no reason given"
            return f"#{trial.number} {words} => {self._outcome(trial)}"
        parts = [f"#{trial.number}", f"{self._changed(trial)} => {self._outcome(trial)}{self._beside(trial)}"]
        if rule := rule_of(trial, self.author):
            parts.append(f"[proposed by rule {quoted(rule, 60)[1:-1]}]")
        if with_reason and trial.proposal.why:
            parts.append(f"[your reason: {quoted(trial.proposal.why)}{_prediction(trial)}]")
        return " ".join(parts)

    def pending(self, pending: Pending) -> str:
        """A trial in flight."""
        changed = self._difference(pending.proposal.candidate, pending.parent)
        return f"#{pending.number} (running): {changed or 'nothing'}"

    def difference(self, candidate: Candidate, parent: Candidate) -> str:
        """All that differs between two candidates, in a line."""
        if self.prose:
            return "changes that are not listed"
        return self._difference(candidate, parent) or "nothing"

    def totals(self) -> str:
        """The whole history in a line, and what a reader must know of the lines of single trials."""
        trials = [trial for trial in self.trace if trial.number]
        if not trials:
            return "No trial after the baseline yet."
        kept = sum(trial.decision.keep for trial in trials)
        failed = sum(trial.score is None and trial.status not in (Status.REFUSED, Status.PRUNED) for trial in trials)
        refused = sum(trial.status is Status.REFUSED for trial in trials)
        discarded = len(trials) - kept - failed - refused
        told = (
            f"{counted(len(trials), 'trial')} after the baseline: {kept} kept, {discarded} discarded, {failed} failed, "
            f"{refused} refused; {self.trace.since_improvement()} since the last best score."
        )
        if sum(trial.proposal.author == self.author for trial in trials) > self.own_words:
            told += f" Of your own reasons the last {self.own_words} are shown."
        if any(rule_of(trial, self.author) for trial in trials):
            told += " Where a rule of the loop proposed a trial, your own drafts for it did not run."
        return told

    def _changed(self, trial: Trial) -> str:
        if trial.number == 0:
            return "the baseline"
        parent = self.trace.of(trial.parent.id)
        origin = f"from #{parent.number}: " if parent is not None else ""
        changed = self._difference(trial.candidate, trial.parent)
        if trial.proposal.repeats:
            changed = changed or "measured again on other seeds"
        return origin + (changed or "nothing")

    def _difference(self, candidate: Candidate, parent: Candidate) -> str:
        files = [
            f"{path} (+{added} -{removed} lines)"
            for path in candidate.files_changed_from(parent)
            for added, removed in [line_counts(self._text(parent, path), self._text(candidate, path))]
        ]
        return "; ".join([*change_list(candidate.changes_from(parent)), *files])

    def _text(self, candidate: Candidate, path: str) -> str:
        return candidate.files.get(path, self.start.get(path, ""))

    def _outcome(self, trial: Trial) -> str:
        if trial.status is Status.REFUSED:
            return f"refused: {quoted(trial.reason or trial.decision.reason)}"
        if trial.score is None:
            verdict = "" if trial.status is Status.INFRASTRUCTURE else ", discarded"
            return f"{_FAILED.get(trial.status, f'failed, {trial.status.value}')}: {quoted(trial.reason)}{verdict}"
        seeds = len(top_scores(trial, self.trace.objective.name))
        score = f"{trial.score:.6g}" + (f" (mean of {seeds} seeds)" if seeds > 1 else "")
        return ", ".join(filter(None, [score, self._compared(trial), "kept" if trial.decision.keep else "discarded"]))

    def _compared(self, trial: Trial) -> str:
        gain = self.trace.gain_of(trial) if trial.number else None
        if gain is None:
            return ""
        margin = self.trace.noise.margin
        within = " (within noise)" if margin and abs(gain) <= margin else ""
        return f"gain {gain:+.4g}{within}"

    def _beside(self, trial: Trial) -> str:
        """What was measured beside the objective, where it differs between trials."""
        metrics = trial.runs[-1].metrics if trial.runs and trial.score is not None else None
        shown = [f"{name} {metrics[name]:.4g}" for name in self._names_beside if metrics and name in metrics]
        return f" ({', '.join(shown)})" if shown else ""

    @functools.cached_property
    def _names_beside(self) -> tuple[str, ...]:
        return tuple(_varying(self.trace))[:MOST_METRICS]


def _varying(trace: Trace) -> Iterator[str]:
    """The numbers beside the objective that are not the same in all trials with a score."""
    measured = [trial.runs[-1].metrics or {} for trial in trace if trial.runs and trial.score is not None]
    for name in measured[0] if measured else ():
        different = {f"{metrics[name]:.3g}" for metrics in measured if name in metrics}
        if name != trace.objective.name and _PLAIN_NAME.fullmatch(name) and len(different) > 1:
            yield name


_FAILED = {
    Status.PRUNED: "stopped early",
    Status.INFRASTRUCTURE: "not measured, the machine failed",
}


def line_counts(old: str, new: str) -> tuple[int, int]:
    """How many lines were added and removed between two texts."""
    diff = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return sum(line.startswith("+") for line in diff), sum(line.startswith("-") for line in diff)


def patch(old: Mapping[str, str], new: Mapping[str, str], paths: Iterable[str]) -> str:
    """A unified diff of files."""
    return "\n".join(
        line
        for path in paths
        for line in difflib.unified_diff(
            old.get(path, "").splitlines(), new.get(path, "").splitlines(), f"a/{path}", f"b/{path}", lineterm=""
        )
    )


def last_lines(log: str, most: int = 40) -> str:
    """The end of a log."""
    return "\n".join(re.split(r"\r\n|\n|\r", log.strip("\r\n"))[-most:])


def _prediction(trial: Trial) -> str:
    predicted = trial.proposal.notes.get("predicted_gain")
    return f", you predicted a gain of {predicted:+.3g}" if isinstance(predicted, int | float) else ""


def _listed(value: Value) -> object:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value
