"""What a run of a folder task finds around it: interpreter, variables, shared paths, network."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bilevel.execution.environment import allowed
from bilevel.execution.network import OFF, ON, network_isolation
from bilevel.execution.workspace import Refusal, Workspace
from bilevel.tasks.interpreter import Interpreter
from bilevel.tasks.model import TaskModel
from bilevel.tasks.sharing import Shared, links, make
from bilevel.tasks.tables import SeedTable

PLACE_BOUND = ("CUDA_VISIBLE_DEVICES",)  # says where a run happens, not what is measured


@dataclass(frozen=True)
class Conditions:
    """The same for every run of a task; `shared` is empty unless the task lists paths."""

    model: TaskModel
    interpreter: Interpreter
    shared: tuple[Shared, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that are taken over from the host."""
        return tuple(dict.fromkeys((*self.model.env.take, *self.model.command.env_pass)))

    @property
    def secret_ok(self) -> frozenset[str]:
        return frozenset(self.model.command.env_secret_ok)

    def given(self) -> dict[str, str]:
        """The variables that come from the task: taken over from the host by name, or set by it."""
        taken = {name: os.environ[name] for name in self.names if name in os.environ}
        return {**taken, **self.model.env.give, **self.model.command.env}

    def passed(self) -> dict[str, str | None]:
        """What counts for a hash of the taken variables: their values, of a secret one only whether it is set."""
        found = {name: os.environ.get(name) for name in self.names if name not in PLACE_BOUND}
        return {name: value if name not in self.secret_ok else str(value is not None) for name, value in found.items()}

    def secrets(self) -> dict[str, str]:
        """The values that no log may hold, by name."""
        return {name: os.environ[name] for name in self.secret_ok if name in os.environ}

    def environment(self, space: Workspace, more: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of a run in a working copy. Raises InputError, as `allowed` does.

        With somebody's own source or interpreter, the working copy comes before what is installed. Where a scorer
        measures, a variable of our own says so, which the scorer may hand on: in the scorer's own process a file of the
        candidate could take the place of a module.
        """
        given = {**self.given(), **more}
        mine: dict[str, str] = {}
        if not self.interpreter.ours:
            mine["PATH"] = self.search_path(given)
            if self.interpreter.environment:
                mine["VIRTUAL_ENV"] = self.interpreter.environment
        if self.model.source is not None or not self.interpreter.ours:
            name = "PYTHONPATH" if self.model.objective.self_reported else "BILEVEL_PYTHONPATH"
            mine[name] = os.pathsep.join(self._import_path(space.work, given.get("PYTHONPATH", "")))
        return allowed(self.names, {**given, **mine}, scratch=space.scratch, secret_ok=self.secret_ok)

    def search_path(self, given: Mapping[str, str]) -> str:
        """The PATH of a run: the programs beside somebody's own interpreter come first."""
        host = given.get("PATH", os.environ.get("PATH", os.defpath))
        return host if self.interpreter.ours else f"{self.interpreter.bin}{os.pathsep}{host}"

    @staticmethod
    def _import_path(work: Path, given: str) -> list[str]:
        """The working copy's src/, itself, and what the task gives; relative entries are those of the working copy."""
        source = [str(work / "src")] if (work / "src").is_dir() else []
        return [*source, str(work), *(str(work / part) for part in given.split(os.pathsep) if part)]

    def furnish(self, space: Workspace) -> Refusal | None:
        """Link the shared paths into a run's HOME and working copy. Raises InputError for what cannot be made."""
        make(self.shared)
        for where, place, target in links(self.shared):
            link = (space.scratch if where == "home" else space.work) / place
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.exists() and where == "work":
                return Refusal(place, "the task puts a file or folder of its own there")
            link.symlink_to(target)
        return None

    @property
    def network(self) -> str:
        """`on`, `off`, or that off is asked and not enforceable here."""
        return ON if self.model.command.network == "on" else network_isolation()

    @property
    def offline(self) -> bool:
        return self.network == OFF

    def record(self) -> dict[str, object]:
        """The facts for the record of a run: names and levels, no values of variables and no places of this machine."""
        command = self.model.command
        facts: dict[str, object] = {"network": self.network}
        if not self.interpreter.ours:
            facts["python"] = self.interpreter.record()
        if self.names:
            facts["env"] = {name: name in os.environ for name in self.names}
        if self.shared:
            facts["paths"] = {"read": list(command.read_paths), "write": list(command.write_paths)}
        if command.seed is not None:
            facts["seed"] = str(command.seed) if isinstance(command.seed, SeedTable) else command.seed
        return facts
