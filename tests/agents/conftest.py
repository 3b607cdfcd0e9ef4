"""A task whose files an agent edits, scripted agents, and the `bilevel` command."""

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bilevel.agents import AgentLimits, AgentModel, Rules, agent
from bilevel.call import Message, Reply, Request, Watch
from bilevel.codec import canonical
from bilevel.space import Candidate
from bilevel.tasks.folder import FolderTask

SCRIPT = Path(__file__).with_name("scripted_agent.py")
TASK = {
    "task.toml": """\
name = "line"
title = "A line that should be flat and low"

[objective]
metric = "loss"
direction = "minimize"

[metrics.loss]
read = "line"

[candidate]
editable = ["model.py", "parts/**"]
protected = ["data.py", "parts/fixed.py"]

[space]
constants = ["model.py"]

[space.parameters.SLOPE]
type = "float"
low = 0.1
high = 10.0

[command]
run = ["{python}", "model.py"]

[[rungs]]
name = "full"
wall_seconds = 60
""",
    "brief.md": "Make the line flat and low.\n",
    "start/model.py": """\
from data import TARGET
from parts.shape import offset

SLOPE = 3.0
SEED = 7

print(f"loss: {abs(SLOPE - TARGET) + offset()}")
""",
    "start/data.py": "TARGET = 1.0\n",
    "start/README.md": "A line.\n",
    "start/parts/shape.py": "def offset():\n    return 8.0\n",
    "start/parts/fixed.py": "X = 1\n",
}


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    """A new folder with the task."""
    folder = tmp_path / "line"
    for path, text in TASK.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def command_of(behaviour: str, *arguments: object) -> str:
    """The command line of a scripted agent."""
    return " ".join(["{python}", str(SCRIPT), behaviour, *map(str, arguments)])


@dataclass(frozen=True)
class Asked:
    """What an agent's reply says."""

    reply: Reply
    answer: dict[str, Any]

    @property
    def files(self) -> dict[str, str]:
        return dict(self.answer["files"])

    @property
    def kinds(self) -> dict[str, list[str]]:
        """The paths that were refused, by kind."""
        found: dict[str, list[str]] = {}
        for item in self.answer["refused"]:
            found.setdefault(item["kind"], []).append(item["path"])
        return found


@pytest.fixture
def agent_model(task_folder: Path, tmp_path: Path) -> Callable[..., AgentModel]:
    """Make an AgentModel over the task, whose folders are made in tmp_path/copies."""
    task = FolderTask.open(task_folder)
    root = tmp_path / "copies"
    root.mkdir()

    def export(params: Any, files: Any, folder: Path) -> None:
        task.write_out(Candidate(params, files), folder)

    def make(command: str, limits: AgentLimits | None = None, **variables: str) -> AgentModel:
        rules = Rules(task.model.candidate.editable, task.model.candidate.protected)
        chosen = limits or AgentLimits(60.0)
        return AgentModel(agent(command), export, rules, replace(chosen), variables, root)

    return make


@pytest.fixture
def ask(agent_model: Callable[..., AgentModel]) -> Callable[..., Asked]:
    """Ask a scripted agent once, from the start; all is gone afterwards."""

    def one(
        behaviour: str,
        *arguments: object,
        limits: AgentLimits | None = None,
        edited: dict[str, str] | None = None,
        watch: Watch | None = None,
        **variables: str,
    ) -> Asked:
        model = agent_model(command_of(behaviour, *arguments), limits, **variables)
        start = {"params": {"SLOPE": 3.0, "SEED": 7}, "files": {}, **({"edited": edited} if edited else {})}
        request = Request((Message("user", "Make it better."), Message("user", canonical(start))))
        reply = model.complete(request, 0, watch or Watch())
        assert model.root is not None and not any(model.root.iterdir())
        return Asked(reply, json.loads(reply.text))

    return one


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def bilevel(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run `bilevel ARGS` in this process; the agents are processes of their own."""
    from bilevel.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["bilevel", *map(str, args)])
        code = 0
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
                main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        printed = capsys.readouterr()
        return Done(code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def bilevel_json(bilevel: Callable[..., Done]) -> Callable[..., Any]:
    """Run `bilevel ARGS --json`, which must succeed; returns what it printed."""

    def run(*args: object) -> Any:
        done = bilevel(*args, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    return run
