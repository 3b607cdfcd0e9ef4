"""Karpathy's autoresearch, unmodified, as a task: a checkout of it, of which candidates change `train.py` alone.

    karpathy                                 the checkout that AUTORESEARCH_DIR names
    karpathy:PATH                            the one at PATH
    karpathy:PATH:time_budget=60,network=off with options

The checkout is only read. What it held when a run began is kept in the cache, under its hash, and the run refers to
that: a change of the checkout, such as by `bilevel best --apply`, reaches the next run and not this one.
"""

import ast
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bilevel.codec import content_hash
from bilevel.errors import InputError
from bilevel.execution import constants
from bilevel.execution.tree import delete, tree_hash
from bilevel.lab import Bench
from bilevel.space import Candidate
from bilevel.tasks.cache import cache_folder
from bilevel.tasks.conditions import Conditions
from bilevel.tasks.folder import FolderTask
from bilevel.tasks.interpreter import find_interpreter
from bilevel.tasks.karpathy_space import parameters
from bilevel.tasks.measuring import Measuring
from bilevel.tasks.model import TaskModel
from bilevel.tasks.repository import Tree, take
from bilevel.tasks.sharing import shared_paths
from bilevel.tasks.source import open_source
from bilevel.tasks.tables import SourceTable
from bilevel.trial import Run

NAME = "karpathy"
DIRECTORY = "AUTORESEARCH_DIR"  # the variable that says where the checkout is
SCRIPT, FIXED, PROGRAM, PYTHON = "train.py", "prepare.py", "program.md", ".venv/bin/python"
BUDGET = "TIME_BUDGET"
DATA = "~/.cache/autoresearch"
CACHES = ("~/.triton", "~/.cache/torch", "~/.cache/huggingface")  # compiled kernels outlive a run
METRICS = (
    "val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent", "total_tokens_M", "num_steps",
    "num_params_M", "depth",
)  # fmt: skip
KILL_SECONDS = 600.0  # "if a run exceeds 10 minutes, kill it and treat it as a failure"
OVERHEAD_SECONDS = 180.0  # beyond twice a budget of our own: start, compilation, evaluation
OPTIONS = ("time_budget", "network", "tree", "commit")
_OPTIONS = re.compile(rf"(?:{'|'.join(OPTIONS)})=[^,:]*(?:,(?:{'|'.join(OPTIONS)})=[^,:]*)*\Z")


@dataclass(frozen=True)
class KarpathyTask(FolderTask):
    """The task over a checkout; `karpathy` makes it. Scores are what `train.py` says of itself.

    `folder` is the checkout; `source` its files as they were, with the time budget that they name; runs get
    `time_budget` seconds instead, where it is given. `origin` is the tree that runs are changes of.
    """

    origin: Tree
    time_budget: float | None
    network_option: str

    @property
    def brief(self) -> str:
        """program.md as it is now; what it was at the start while it is missing or empty."""
        try:
            return (self.folder / PROGRAM).read_text("utf-8").strip() or self.opened_with
        except (OSError, UnicodeDecodeError):
            return self.opened_with

    @property
    def reference(self) -> str:
        """The name by which this very task is found again, also after its checkout has changed."""
        options = {"tree": self.origin.hash[:32], "commit": self.origin.commit, "network": self.network_option}
        if self.time_budget is not None:
            options["time_budget"] = f"{self.time_budget:g}"
        return f"{NAME}:{self.folder}:" + ",".join(f"{name}={value}" for name, value in options.items() if value)

    @functools.cached_property
    def harness(self) -> str:
        """Changes with the files, the limits, what is read from the output, and the packages; not with the place."""
        about = self.model.model_dump(mode="json", include={"objective", "metrics", "rungs"})
        interpreter = self.measuring.conditions.interpreter.record()
        return content_hash([self.measuring.start_hash, about, interpreter])[:16]

    def run(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure a candidate once; its data says how long its code is, and which budget was set."""
        run = super().run(candidate, bench)
        facts: dict[str, Any] = {"program_characters": program_characters(self._program(candidate))}
        if self.time_budget is not None:
            facts["time_budget"] = self.time_budget
        return replace(run, data={**run.data, **facts})

    def write_out(self, candidate: Candidate, folder: Path) -> None:
        """Write a candidate into a checkout, where only train.py changes; into another folder, the whole tree.

        Raises InputError, and writes nothing, where train.py is neither as the run began with it nor as it would be.
        """
        if not (folder / SCRIPT).is_file():
            super().write_out(candidate, folder)
            return
        new, old = self._final(candidate), self.source.texts[SCRIPT]
        found = (folder / SCRIPT).read_bytes()
        if found not in (new.encode("utf-8"), old.encode("utf-8")):
            raise InputError(
                f"{str(folder / SCRIPT)!r} has other changes, which would be lost: it is not what this run began with; "
                "put it aside (git stash), or give a new folder"
            )
        if found != new.encode("utf-8"):
            (folder / SCRIPT).write_bytes(new.encode("utf-8"))

    def _program(self, candidate: Candidate) -> str:
        return candidate.files.get(SCRIPT, self.source.texts[SCRIPT])

    def _final(self, candidate: Candidate) -> str:
        return self.source.changed(candidate).get(SCRIPT, self.source.texts[SCRIPT])


def program_characters(text: str) -> int | None:
    """How long a Python program is without comments, blank space and docstrings; None if it cannot be parsed."""
    try:
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                said = ast.get_docstring(node, clean=False) is not None
                node.body = node.body[1:] if said else node.body
        return sum(map(len, ast.unparse(tree).split()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_reference(text: str) -> bool:
    """Whether a task's name means this one."""
    return text == NAME or text.startswith(f"{NAME}:")


def with_time_budget(text: str, seconds: float) -> str:
    """A task's name with another time budget. Raises InputError for other tasks."""
    if not is_reference(text):
        raise InputError(f"--time-budget is for task {NAME!r}; task {text!r} sets its time in its rungs: use --rung")
    path, options = _parsed(text)
    options["time_budget"] = f"{seconds:g}"
    return ":".join([NAME, *filter(None, [path]), ",".join(f"{key}={value}" for key, value in options.items())])


def find_karpathy(text: str, **more: object) -> KarpathyTask:
    """The task that `karpathy…` names. Raises InputError for what is missing in the checkout, with the way out."""
    path, options = _parsed(text)
    unknown = sorted(more.keys() - set(OPTIONS))
    if unknown:
        raise InputError(f"task {NAME!r} has no option {unknown[0]!r}; its options are: time_budget, network")
    options |= {name: str(value) for name, value in more.items()}
    path = path or os.environ.get(DIRECTORY, "")
    if not path:
        raise InputError(f"task {NAME!r} needs a checkout of autoresearch: write {NAME}:PATH, or set {DIRECTORY}")
    return karpathy(
        Path(path),
        time_budget=_seconds(options["time_budget"]) if "time_budget" in options else None,
        network=options.get("network", ""),
        tree=options.get("tree", ""),
        commit=options.get("commit", ""),
    )


def karpathy(
    checkout: Path, *, time_budget: float | None = None, network: str = "", tree: str = "", commit: str = ""
) -> KarpathyTask:
    """The task over a checkout, which is only read.

    `time_budget`: seconds of training, in place of those of prepare.py. `network`: "on" (train.py may fetch its
    attention kernel) unless it is "off". `tree` and `commit` name an earlier state of the checkout, in the cache.
    Raises InputError for what is missing, with the way out.
    """
    folder = checkout.expanduser().resolve()
    if network not in ("", "on", "off"):
        raise InputError(f"option 'network' of task {NAME!r} is on or off, not {network!r}")
    _check_checkout(folder)
    origin = _kept(folder, tree, commit)
    text = _text(origin.folder / SCRIPT)
    model = _model(folder, text, time_budget, network or "on")
    source, wrong = open_source(origin.folder, model)
    shared, closed = shared_paths(model.command, folder)
    if wrong or closed:
        listed = "".join(f"\n  - {problem}" for problem in [*wrong, *closed])
        raise InputError(f"the checkout {str(folder)!r} cannot be used; correct what is listed and try again:{listed}")
    start = _budgeted(origin, time_budget)
    conditions = Conditions(model, find_interpreter(PYTHON, folder), tuple(shared))
    measuring = Measuring(
        folder, model, replace(source, start=start), tree_hash(start), _harness_hash(folder), conditions, origin
    )
    brief = _text(folder / PROGRAM).strip()
    return KarpathyTask(folder, model, source, measuring, brief, origin, time_budget, network)


def _check_checkout(folder: Path) -> None:
    missing = [name for name in (SCRIPT, FIXED, PROGRAM) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{str(folder)!r} is not a checkout of autoresearch: it has no {', '.join(missing)}; give the path of one, "
            f"as {NAME}:PATH or in {DIRECTORY}"
        )
    if not os.path.lexists(folder / PYTHON):
        raise InputError(
            f"the checkout {str(folder)!r} has no {PYTHON}, and its environment is used as it is, never made again: "
            f"run `uv sync` there (and `uv run {FIXED}` once, for the data)"
        )
    if not _text(folder / PROGRAM).strip():
        raise InputError(f"{str(folder / PROGRAM)!r} is empty; say there what is to be improved, and what is fixed")
    if not Path(DATA).expanduser().is_dir():
        raise InputError(f"there is no {DATA}, where data and tokenizer are; run `uv run {FIXED}` in {str(folder)!r}")


def _model(folder: Path, text: str, time_budget: float | None, network: str) -> TaskModel:
    """What a task.toml for the checkout would say."""
    wall = KILL_SECONDS if time_budget is None else 2 * time_budget + OVERHEAD_SECONDS
    budget = {} if time_budget is None else {"budget_seconds": time_budget}
    inductor = str(Path("~/.cache/torch/inductor").expanduser())  # its default lies in TMPDIR, which ends with the run
    return TaskModel.model_validate(
        {
            "name": NAME,
            "title": "Karpathy's autoresearch: train.py of a checkout, unmodified",
            "objective": {"metric": "val_bpb", "unit": "bits per byte", "direction": "minimize", "self_reported": True},
            "metrics": {name: {"read": "line", "after": "---"} for name in METRICS},
            "source": {"path": str(folder)},
            "candidate": {"editable": (SCRIPT,)},
            "space": {"constants": (SCRIPT,), "parameters": parameters(constants.read(text, where=SCRIPT))},
            "command": {
                "run": ("{python}", SCRIPT),
                "python": PYTHON,
                "env_pass": ("USER",),
                "env": {"TORCHINDUCTOR_CACHE_DIR": inductor},
                "read_paths": (DATA,),
                "write_paths": CACHES,
                "network": network,
                "seed": "none",
            },
            "rungs": (
                {
                    "name": "full" if time_budget is None else f"{time_budget:g}s",
                    "wall_seconds": wall,
                    "memory_bytes": 2**40,  # the machine's own limit
                    "output_bytes": 2**24,
                    **budget,
                },
            ),
        }
    )


# ---- the state of the checkout that a run refers to ----


def _kept(folder: Path, wanted: str, commit: str) -> Tree:
    """The tree of the checkout: `wanted`, by hash, from the cache; else as it is now, kept there from now on."""
    cache = cache_folder(NAME)
    kept = cache / "starts" / wanted
    if wanted and re.fullmatch("[0-9a-f]{32}", wanted) and kept.is_dir():
        found = tree_hash(kept, ignore=())
        if found.startswith(wanted):
            return Tree(kept, folder, found, sum(path.is_file() for path in kept.rglob("*")), commit)
    table = SourceTable(path=".", exclude=("results.tsv", "run.log"))
    tree = take(table, folder, cache)
    if wanted and not tree.hash.startswith(wanted):
        raise InputError(
            f"the checkout {str(folder)!r} is not as it was when this run began, and the copy of its files from then "
            f"is gone from the cache {str(cache)!r}; put the checkout back to that state"
            + (f" (commit {commit}, or with the changes that it had)" if commit else "")
        )
    return replace(
        tree, folder=_copied(tree.folder, cache / "starts" / tree.hash[:32], {}), commit=commit or tree.commit
    )


def _budgeted(tree: Tree, time_budget: float | None) -> Path:
    """The tree that working copies are made from: the kept one, or a copy of it with another budget in prepare.py."""
    if time_budget is None:
        return tree.folder
    text = _text(tree.folder / FIXED)
    old = constants.read(text, where=FIXED).get(BUDGET)
    if not isinstance(old, int | float) or isinstance(old, bool):
        raise InputError(f"{FIXED} has no constant {BUDGET} with a number, so its time budget cannot be set")
    value = int(time_budget) if time_budget.is_integer() else time_budget
    changed = constants.write(text, {BUDGET: value}, where=FIXED)
    return _copied(tree.folder, cache_folder(NAME) / "starts" / f"{tree.hash[:32]}-{value}s", {FIXED: changed})


def _copied(source: Path, target: Path, texts: Mapping[str, str]) -> Path:
    """A copy of a tree in the cache, with some of its files replaced; made at once or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix="new-", dir=target.parent))
    try:
        shutil.copytree(source, staged / "tree")
        for path, text in texts.items():
            (staged / "tree" / path).write_text(text, "utf-8", newline="")
        if target.is_dir() and tree_hash(target, ignore=()) != tree_hash(staged / "tree", ignore=()):
            delete(target)  # somebody wrote into it
        if not target.is_dir():
            (staged / "tree").rename(target)
    except OSError:
        if not target.is_dir():  # not that another process was faster
            raise
    finally:
        delete(staged)
    return target


def _harness_hash(folder: Path) -> str:
    """A checkout has no harness of ours; a folder of that name is part of its tree."""
    return tree_hash(folder / "harness") if (folder / "harness").is_dir() else ""


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from error


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    """The path and the options of `karpathy:PATH:name=value,name=value`; either may be left out."""
    rest = text.partition(":")[2]
    path, colon, last = rest.rpartition(":")
    if not _OPTIONS.match(last):
        if "=" in last and not Path(rest).exists() and (colon or "/" not in last):
            raise InputError(
                f"task {text!r}: {last!r} are not its options; write {NAME}:PATH:time_budget=60,network=off"
            )
        return rest, {}
    pairs = (part.partition("=") for part in last.split(","))
    return path, {key: value for key, _, value in pairs}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 10**6:
        raise InputError(f"option 'time_budget' of task {NAME!r} is a number of seconds above 0, not {text!r}")
    return seconds
