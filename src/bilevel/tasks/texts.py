"""What tasks over texts share: a candidate holds the whole text of each file, and guardrails see what was lost.

A text is measured beside the one that the task began with: an edit that drops a number, a piece of code or a link, or
that cuts or swells the text, breaks a guardrail, whatever it gains.
"""

import difflib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bilevel.errors import InputError
from bilevel.guardrails import Guardrail
from bilevel.lab import Traces
from bilevel.objective import Objective
from bilevel.prose import lost
from bilevel.space import Candidate, Space
from bilevel.task import Rung, Task
from bilevel.tasks.delegating import Delegating
from bilevel.tasks.function import ONE_RUNG, score
from bilevel.trial import Run
from bilevel.view import Below

MOST = 200_000  # characters of one text


@dataclass(frozen=True)
class TextTask:
    """What a task over texts has beside its measurement. `texts`: the files as the task begins with them, by name.

    A subclass measures (`run`) and says of what its results depend (`harness`).
    """

    name: str
    texts: Mapping[str, str]
    objective: Objective
    brief: str
    title: str = ""
    rungs: tuple[Rung, ...] = ONE_RUNG
    guidance: str = ""
    space: Space = field(default_factory=lambda: Space({}))
    self_reported: bool = field(default=False, init=False)
    remembers: bool = field(default=False, init=False)
    evaluations: int = field(default=1, init=False)

    def baseline(self) -> Candidate:
        return Candidate(files=self.texts)

    def problems(self, candidate: Candidate, parent: Candidate) -> list[str]:
        """Files that are missing, empty, too long, or not the task's."""
        found = [f"{name}: the task has no such file" for name in candidate.files if name not in self.texts]
        for name in self.texts:
            text = candidate.files.get(name, "")
            if not text.strip() or len(text) > MOST or "\0" in text:
                found.append(f"{name}: must be a text of 1 to {MOST:,} characters")
        return found

    def evaluate(self, run: Run) -> float:
        """The objective's value. Raises InputError for a run that is not ok."""
        return score(run, self.objective)

    def below(self, traces: Traces, state: str | None) -> Below | None:
        return None

    def losses(self, candidate: Candidate) -> dict[str, float]:
        """What guardrails ask for: sums of what was lost, and of lengths and shares the text that fares worst."""
        each = [lost(text, candidate.files.get(name, "")) for name, text in self.texts.items()]
        found = {name: sum(one[name] for one in each) for name in ("facts_lost", "links_lost")}
        found["words_lost"] = max(one["words_lost"] for one in each)
        found["length"] = max((one["length"] for one in each), key=lambda share: abs(share - 1.0))
        return found

    def patch(self, candidate: Candidate) -> str:
        """A unified diff from the texts to the candidate's."""
        return "".join(
            _diff(name, self.texts.get(name, ""), candidate.files.get(name, ""))
            for name in candidate.files_changed_from(self.baseline())
        )

    def candidate(self, folder: Path) -> Candidate:
        """The texts of a folder, by their names, as a candidate. Raises InputError for one that cannot be read."""
        return Candidate(files=read([folder / name for name in self.texts], "file"))

    def write_out(self, candidate: Candidate, folder: Path) -> None:
        """Write the candidate's texts into a folder, under their names. Raises InputError for one that is another."""
        others = [
            name
            for name, text in candidate.files.items()
            if (folder / name).exists()
            and (folder / name).read_bytes().decode("utf-8", "replace") not in (text, self.texts.get(name))
        ]
        if others:
            raise InputError(
                f"{str(folder)!r} has files with other changes, which would be lost: {', '.join(others)}; give a new "
                "folder, or move those files away"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in candidate.files.items():
            (folder / name).write_bytes(text.encode())


def text_task(task: Task) -> TextTask | None:
    """The task over texts that a task is, or stands for; None where it is another one."""
    while isinstance(task, Delegating):
        task = task.task
    return task if isinstance(task, TextTask) else None


def kept(longer: float, words: float) -> tuple[Guardrail, ...]:
    """What every text keeps: each number, piece of code and link; its length, from 0.7 to 1 and `longer` of it; and its
    longer words but for a share of `words`."""
    return (
        Guardrail("facts_lost", at_most=0.0),
        Guardrail("links_lost", at_most=0.0),
        Guardrail("length", at_most=1.0 + longer),
        Guardrail("length", at_least=0.7),
        Guardrail("words_lost", at_most=words),
    )


def read(paths: list[Path], what: str) -> dict[str, str]:
    """The texts of files, by name, with the line ends that they have. Raises InputError for one that cannot be read, is
    empty, or shares its name."""
    found: dict[str, str] = {}
    for path in paths:
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{what} {str(path)!r} cannot be read: {error}") from error
        if not text.strip() or len(text) > MOST:
            raise InputError(f"{what} {str(path)!r} must be a text of 1 to {MOST:,} characters; it has {len(text):,}")
        if path.name in found:
            raise InputError(f"two of the files are called {path.name!r}; rename one")
        found[path.name] = text
    return found


def _diff(name: str, old: str, new: str) -> str:
    before, after = ([*io.StringIO(text, newline="\n")] for text in (old, new))  # lines end nowhere else
    lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
