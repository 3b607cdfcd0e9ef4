"""A run as a git repository and a table of results, in the manner of Karpathy's autoresearch.

    autoresearch/TAG              a branch: the source's history, then a commit for each change that was kept
    refs/trials/BRANCH/NUMBER     each try that ran, kept or not, on top of the commit that it changed
    refs/bilevel/best             the best try of all, where the branch has left it
    results.tsv                   commit, score, memory, status, description of the final line's tries; not tracked

The repository is ours, in a folder of its own; the task's is only read. A commit depends on the records alone, so that
exporting again adds what is new and changes nothing else.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bilevel.errors import InputError
from bilevel.gitrepository import SOURCE, Commit, Repository
from bilevel.lab import Records, Traces
from bilevel.levels import leaf, leaf_branch
from bilevel.loop import LoopSpec
from bilevel.objective import Objective
from bilevel.report import archive_best
from bilevel.space import Candidate
from bilevel.task import Task
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.texts import text_task
from bilevel.trial import Trial

TABLE = "results.tsv"
TRIALS, BASE, BEST = "refs/trials/", "refs/bilevel/base", "refs/bilevel/best"
SHORT = 7  # characters of a commit in the table
LONGEST = 200  # characters of a description
CRASH = ("crash", "0.000000", "0.0")  # so his table writes a try without a score; our records hold no number there


@dataclass(frozen=True)
class Exported:
    """What an export wrote: `commits` are those of the branch after `base`, `tries` all that have a reference, `new`
    those that were added now. `cloned`: whether the source's own history is below."""

    folder: Path
    branch: str
    base: str
    tip: str
    commits: int
    tries: int
    new: int
    cloned: bool
    table: str


@dataclass(frozen=True)
class Try:
    """A trial that ran, and the branch of the search that it belongs to."""

    branch: str
    trial: Trial

    @property
    def ref(self) -> str:
        return f"{TRIALS}{re.sub('[^A-Za-z0-9_-]+', '-', self.branch)}/{self.trial.number:04d}"


def export(records: Records, spec: LoopSpec, folder: Path, tag: str) -> Exported:
    """Write a run into the repository in `folder`, which is made if it is not there.

    Its working tree is written anew, as the search stands. Raises InputError for a task without files, for a folder
    with other things, for a tag that git does not take, and where git is missing or refuses.
    """
    task = leaf(spec).task
    if isinstance(task, FolderTask) and folder.resolve() in (task.folder, task.source.start.resolve()):
        raise InputError(f"{str(folder)!r} is the task's own folder, which is only read; give another one")
    with _start_of(task) as start, Repository.opened(folder) as repository:
        branch = f"refs/heads/autoresearch/{tag}"
        repository.check_name(branch)
        base = repository.refs(BASE).get(BASE) or _base(repository, task, start)
        stands, final = _Writing(repository, start, base), _final(records, spec)
        commits = stands.write(records, spec)
        current = Traces(records).trace(final, leaf(spec).task.objective).current if final else None
        tip = base if current is None else commits[final, current.id]
        best = archive_best(records, spec)
        if best is not None:
            repository.git("update-ref", BEST, commits[best[0], best[1].candidate.id])
        refs = repository.refs(TRIALS)
        repository.stand_on(branch, tip, {base, *refs.values()})
        table = results(records, spec, refs, base)
        repository.put_untracked(TABLE, table)
        cloned = bool(repository.refs(SOURCE))
        above = repository.count(base, tip)
        return Exported(folder, f"autoresearch/{tag}", base, tip, above, len(refs), stands.new, cloned, table)


def results(records: Records, spec: LoopSpec, commits: Mapping[str, str] | None = None, base: str = "") -> str:
    """The table of the final line's tries in his five columns; without `commits`, a candidate's id stands for one."""
    objective = leaf(spec).task.objective
    lines = [f"commit\t{objective.name}\tmemory_gb\tstatus\tdescription"]
    for found in _owned(records, _final(records, spec)):
        trial = found.trial
        commit = trial.candidate.id
        if commits is not None:
            commit = base if trial.number == 0 else commits.get(found.ref, "")
        status, score, memory = CRASH
        if trial.score is not None:
            status, score = "keep" if trial.decision.keep else "discard", f"{trial.score:.6f}"
            memory = f"{_gigabytes(trial):.1f}"
        lines.append("\t".join((commit[:SHORT], score, memory, status, _plain(described(trial)))))
    return "\n".join(lines) + "\n"


def described(trial: Trial) -> str:
    """What a trial tried, in a line: its author's words where it edited files, else the typed changes."""
    if trial.number == 0:
        return "baseline"
    changes = ", ".join(f"{name}: {change.old!r} -> {change.new!r}" for name, change in trial.changes.items())
    if not trial.candidate.files_changed_from(trial.parent):
        return changes or "no change"
    words = " ".join(trial.proposal.why.split()) or "edit " + ", ".join(
        trial.candidate.files_changed_from(trial.parent)
    )
    return f"{words} ({changes})" if changes else words


def _plain(text: str) -> str:
    """A text that a reader of tab-separated values takes as it is: one line, no tabs, no quotes."""
    text = " ".join(text.replace('"', "'").split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _gigabytes(trial: Trial) -> float:
    """The peak of memory: of the GPU where the program says it, else of the process."""
    run = trial.runs[-1]
    if run.metrics and "peak_vram_mb" in run.metrics:
        return run.metrics["peak_vram_mb"] / 1024
    peak = run.data.get("peak_memory_bytes")
    return peak / 2**30 if isinstance(peak, int | float) else 0.0


# ---- which trials ----


def _final(records: Records, spec: LoopSpec) -> str:
    """The branch on which the innermost loop stands; empty where nothing ran yet."""
    return leaf_branch(Traces(records), spec, "root") or "" if records.branches() else ""


def _owned(records: Records, branch: str) -> list[Try]:
    """The trials of a branch that ran, those before its fork included, each with the branch that it belongs to."""
    if not branch:
        return []
    facts = records.branch(branch)
    before = _owned(records, facts.parent) if facts.parent is not None else []
    shared = [found for found in before if found.trial.number < facts.at]
    return [*shared, *(Try(branch, trial) for trial in records.trials(branch) if trial.runs)]


# ---- commits ----


class _Start(Protocol):
    """The files that a run began with, in a folder, and what a candidate makes of them."""

    @property
    def start(self) -> Path: ...
    def changed(self, candidate: Candidate) -> dict[str, str]:
        """The text of each file that differs from the start, by path."""
        ...

    def text(self, path: str) -> str | None:
        """A file as it is at the start; None if there is none, or no text."""
        ...


@dataclass
class _Texts:
    """The start of a task over texts, written out."""

    start: Path
    texts: Mapping[str, str]

    def changed(self, candidate: Candidate) -> dict[str, str]:
        return {name: text for name, text in candidate.files.items() if text != self.texts.get(name)}

    def text(self, path: str) -> str | None:
        return self.texts.get(path)


@contextmanager
def _start_of(task: Task) -> Iterator[_Start]:
    """What a task's runs began with, as files. Raises InputError for a task without files."""
    text = text_task(task)
    if isinstance(task, FolderTask):
        yield task.source
    elif text is None:
        raise InputError(
            f"task {task.name!r} has no files, so its run has no log of commits; --tsv FILE alone writes its table"
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            text.write_out(text.baseline(), Path(folder))
            yield _Texts(Path(folder), text.texts)


@dataclass
class _Writing:
    """Commits of the tries that have none yet, each on top of the commit that holds its parent."""

    repository: Repository
    start: _Start
    base: str
    new: int = 0
    _changed: dict[str, dict[str, str]] = field(default_factory=dict)  # candidate -> its files that are not the start's

    def write(self, records: Records, spec: LoopSpec) -> dict[tuple[str, str], str]:
        """The commit that stands for a candidate, by branch and candidate: of several tries the first one that was
        kept, else the first one."""
        known, objective = self._known(), leaf(spec).task.objective
        made: dict[str, Commit] = {}
        stands: dict[tuple[str, str], str] = {}  # -> a commit, or the reference of one that is being made
        for branch in [facts.id for facts in records.branches() if facts.level == leaf(spec).name]:
            kept: set[str] = set()
            for found in _owned(records, branch):
                trial, ref = found.trial, found.ref
                if trial.number == 0:
                    ref = self.base
                elif ref in known:
                    self._check(ref, known[ref][1], trial)
                elif ref not in made:
                    parent = stands.get((branch, trial.parent.id), self.base)
                    made[ref] = self._commit(ref, known.get(parent, (parent,))[0], trial, objective)
                if (branch, trial.candidate.id) not in stands or (
                    trial.decision.keep and trial.candidate.id not in kept
                ):
                    stands[branch, trial.candidate.id] = ref
                if trial.decision.keep:
                    kept.add(trial.candidate.id)
        self.new = len(made)
        self.repository.add(made.values(), self.repository.time_of(self.base))
        refs = self.repository.refs(TRIALS)
        return {key: refs.get(ref, ref) for key, ref in stands.items()}

    def _known(self) -> dict[str, tuple[str, str]]:
        return self.repository.refs_with("Candidate", TRIALS)

    def _check(self, ref: str, candidate: str, trial: Trial) -> None:
        if candidate != trial.candidate.id:
            raise InputError(
                f"{str(self.repository.folder)!r} holds the log of another run: its {ref} is another try; "
                "give another --git"
            )

    def _commit(self, ref: str, parent: str, trial: Trial, objective: Objective) -> Commit:
        old, new = self._files(trial.parent), self._files(trial.candidate)
        start = self.start
        files = {path: new[path] if path in new else start.text(path) for path in sorted(old | new)}
        modes = {path: os.access(start.start / path, os.X_OK) for path in files}
        texts = {path: None if text is None else text.encode("utf-8") for path, text in files.items()}
        return Commit(ref, parent, message(trial, objective), trial.number, texts, modes)

    def _files(self, candidate: Candidate) -> dict[str, str]:
        if candidate.id not in self._changed:
            self._changed[candidate.id] = self.start.changed(candidate)
        return self._changed[candidate.id]


def message(trial: Trial, objective: Objective) -> str:
    """A commit's message: the change and the score; below it who proposed it and why, what was decided, the metrics."""
    score = f"{objective.name} {trial.score:.6f}" if trial.score is not None else trial.status.value
    verdict = ("keep: " if trial.decision.keep else "discard: ") + trial.decision.reason
    metrics = (trial.runs[-1].metrics or {}) if trial.runs else {}
    paragraphs: Sequence[str] = (
        f"{_plain(described(trial))} · {score}",
        f"trial {trial.number}, by {trial.proposal.author}; {_plain(verdict)}",
        _plain(trial.proposal.why),
        "\n".join(f"{name}: {value:.6g}" for name, value in sorted(metrics.items())),
        f"Candidate: {trial.candidate.id}",
    )
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _base(repository: Repository, task: Task, start: _Start) -> str:
    """The commit that tries are changes of: the source's own where its tree is the same, else one of the start's tree,
    on top of that where the source is a git repository."""
    tree = task.measuring.tree if isinstance(task, FolderTask) else None
    commit = repository.copy_history(tree.origin, tree.commit) if tree is not None and tree.commit else ""
    return repository.put_tree(start.start, commit, BASE)
