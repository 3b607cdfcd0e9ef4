"""All runs of a comparison, one after the other or in several processes at a time; what is done is not done again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bilevel.compare.absent import refuse_without
from bilevel.compare.folder import Folder, Job, locked
from bilevel.compare.outcome import Outcome, outcome_of
from bilevel.compare.running import execute, is_done
from bilevel.compare.workers import Workers
from bilevel.errors import Stopped


@dataclass(frozen=True)
class Finished:
    """A run that ended just now, and how many of all are done."""

    job: Job
    outcome: Outcome
    done: int
    of: int


def run_all(folder: Folder, workers: int, tell: Callable[[Finished], object]) -> None:
    """Run what is left, the failed runs among it. Raises Stopped where somebody asked to stop, Diverged where what is
    left could not be compared with what is there, InputError where a task of the comparison is gone."""
    with locked(folder) as lock:
        jobs = folder.jobs
        left = [job for job in jobs if not is_done(folder, job)]
        if not left:
            return
        refuse_without(folder, f"{str(folder.path)!r} cannot go on (runs that are left: {len(left)} of {len(jobs)})")
        folder.begin()
        done = len(jobs) - len(left)
        try:
            for job in _execute(folder, lock, left, min(workers, len(left))):
                done += 1
                tell(Finished(job, outcome_of(folder, job), done, len(jobs)))
        except KeyboardInterrupt:  # between two runs, or the parts of one that handle it themselves
            raise Stopped("stopped; what is finished is stored") from None


def _execute(folder: Folder, lock: int, left: list[Job], workers: int) -> Iterable[Job]:
    if workers > 1:
        with Workers(folder, lock, workers) as pool:
            yield from pool.run(left)
        return
    for job in left:
        execute(folder, job)
        yield job
