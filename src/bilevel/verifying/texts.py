"""What was measured of texts, and said of two side by side, made again: from rules, or a judge's recorded words."""

from dataclasses import dataclass, replace
from typing import Any

from bilevel.call import Event, Reply, Request, Watch
from bilevel.codec import derive_seed
from bilevel.errors import StoreError
from bilevel.facts import checked
from bilevel.lab import Bench, Lab
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.models import names_of
from bilevel.recipe import resolve
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.task import Comparing, with_built_in
from bilevel.tasks.texts import TextTask
from bilevel.trial import Run, Trial


class NotRecorded(StoreError):
    """A judge's answer that the record should hold and does not."""


@dataclass(frozen=True)
class Unasked:
    """A judge that has only its recorded answers."""

    name: str

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        raise NotRecorded("the record does not hold the judge's answer")


class _Quiet:
    """A run's records to which nothing is added: what a task says beside its measurements was said in the run."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def add_event(self, event: Event) -> None:
        pass


class Again:
    """A run's measurements of texts and its comparisons, made again from the record. Nothing is asked or stored."""

    def __init__(self, folder: RunFolder[Any], spec: LoopSpec) -> None:
        name = names_of(resolve(folder.config["recipe"])).get("judge")
        store, self.spec = folder.store, leaf(spec)
        self.task = self.spec.task
        self.measures = isinstance(self.task, TextTask) and folder.meta("harness") == self.task.harness
        self.lab = Lab(_Quiet(store), models={} if name is None else {"judge": Unasked(name)})

    def run(self, candidate: Candidate, rung: str, index: int) -> Run:
        """The measurement of a candidate on a seed. Raises NotRecorded."""
        run = self.lab.without_secrets(self.task.run(candidate, self._bench(rung, index)))
        return replace(with_built_in(self.task, candidate, checked(self.task, run)), rung=rung, seed=index)

    def worse(self, trial: Trial) -> str:
        """Why a trial's candidate may not take its parent's place; empty where it may. Raises NotRecorded."""
        if not isinstance(self.task, Comparing):
            return ""
        return self.task.worse(trial.candidate, trial.parent, self._bench(self.spec.top, 0))

    def _bench(self, rung: str, index: int) -> Bench:
        return Bench(self.lab, rung, index, derive_seed(self.spec.seed, "evaluation", index))
