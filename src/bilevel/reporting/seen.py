"""What a report of a run is made from: its records as of one moment, summed up once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bilevel.claiming import claimed
from bilevel.codec import content_hash
from bilevel.compare.folder import program
from bilevel.dashboard.watched import Watched
from bilevel.levels import leaf
from bilevel.report import Summary, archive_best
from bilevel.space import Candidate
from bilevel.statements import Statements, statements_of

STAMP = 12  # digits of the stamp


@dataclass(frozen=True)
class Seen:
    """A run's records, its summary, what it claims, and its final answer (None before the first score)."""

    run: Watched
    summary: Summary
    claims: Statements
    answer: Candidate | None
    stamp: str

    @property
    def changed_since(self) -> bool:
        """Whether what measures the task, its source tree included, is no longer what measured this run."""
        return self.run.opened.folder.meta("harness") not in (None, leaf(self.run.spec).task.harness)

    @property
    def unit(self) -> str:
        """The objective's unit behind a number, with a space before it."""
        return f" {self.summary.unit}" if self.summary.unit else ""


@contextmanager
def seen(path: Path) -> Iterator[Seen]:
    """A run's records within the block, all of one moment. Raises BilevelError where they cannot be read."""
    run = Watched("report", path, lambda: None)
    try:
        with run.store.snapshot():
            summary = run.opened.summary()
            claims = statements_of(run.opened.folder, run.spec, run.state, summary=summary)
            yield Seen(run, summary, claims, _answer(run), _stamp(run, summary))
    finally:
        run.store.close()


def _answer(run: Watched) -> Candidate | None:
    """The answer of the claim stage, else the best seen candidate."""
    claim, answer = claimed(run.opened.folder, run.spec)
    if claim is not None:
        return answer
    best = archive_best(run.store, run.spec)
    return None if best is None else best[1].candidate


def _stamp(run: Watched, summary: Summary) -> str:
    """A hash of how far the records go, and of this program: what can be added to a run folder changes it."""
    folder, store = run.opened.folder, run.store
    trials = {branch.id: len(store.trials(branch.id)) for branch in store.branches()}
    facts = {name: folder.meta(name) for name in ("claim", "sealed", "environment", "machines", "harness", "elapsed")}
    loops = None if summary.confirmed is None else summary.confirmed.cost.evaluations
    said = {
        "state": run.state,
        "trials": trials,
        "under way": [(branch, pending.number) for branch, pending in store.under_way()],
        "calls": len(store.calls()),
        "acts": len(store.acts()) + len(store.effects()),
        "facts": facts,
        "loops": loops,
        "program": program(),
        "task": leaf(run.spec).task.harness,
    }
    said |= {"gone": True} if run.gone else {}  # such a report leaves something out
    return content_hash({**said, "inner": leaf(run.spec).name})[:STAMP]
