"""Which files of a repository a candidate may change, and which hold what measures it; each with a reason."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bilevel.init.tree import Tree
from bilevel.init.words import several, split

SOURCES = several(
    ".py .pyx .c .h .cc .cpp .cxx .hh .hpp .cu .cuh .rs .go .js .mjs .ts .java .jl .zig .swift .kt .rb .lua "
    ".scala .hs .ml .f90 .f .cl .s .asm .r .sql .pl .cs .nim .d .metal .glsl"
)
CONFIGS = {".yaml", ".yml", ".toml", ".json", ".ini", ".cfg"}
DATA = several(".csv .tsv .parquet .npy .npz .pt .pth .bin .pkl .h5 .hdf5 .txt .jsonl .gz .zip .tar .arrow .db .sqlite")
LOCKS = {
    "uv.lock", "poetry.lock", "pdm.lock", "pipfile.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml",
    "cargo.lock", "go.sum", "gemfile.lock", "requirements.txt", "pyproject.toml", "setup.py", "setup.cfg",
    "package.json", "cargo.toml", "go.mod", "environment.yml",
}  # fmt: skip
BUILD = {"makefile", "gnumakefile", "cmakelists.txt", "justfile", "dockerfile", "build.rs"}
LEGAL = {"license", "licence", "copying", "notice", "citation"}
MEASURES = several(
    "eval evaluate evaluation evaluator metric metrics score scoring scorer judge grade grader bench benchmark "
    "measure timing timeit time harness verify checker reference"
)
SAYS = re.compile(
    r"\b(?:do not|don't|must not be|never) (?:modify|modified|edit|edited|change|changed)\b", re.IGNORECASE
)
DEFINES = re.compile(
    r"^(?:async )?def (?:evaluate|eval_|score|measure|benchmark|grade|judge|compute_metric)", re.MULTILINE
)
MOST_LISTED = 60


@dataclass(frozen=True)
class Roles:
    """Patterns for task.toml with their reasons, and the files that match them; `paths` are the editable files."""

    editable: Mapping[str, str]
    protected: Mapping[str, str]
    paths: tuple[str, ...]


def protects(path: str) -> str:
    """Why a file should not be changed, by its name; empty where nothing speaks against it."""
    pure = PurePosixPath(path)
    name, stem, folders = pure.name.lower(), pure.stem.lower(), [part.lower() for part in pure.parts[:-1]]
    if {"test", "tests", "testing", "spec"} & set(folders) or re.match(r"test_|.*_test\.|conftest\.", name):
        return "a test"
    if name in LOCKS or name.startswith("requirements"):
        return "what is installed"
    if stem in LEGAL:
        return "a licence"
    if name in BUILD or pure.suffix in (".sh", ".mk"):
        return "how it is built and run"
    if {"data", "dataset", "datasets"} & {*folders, stem} or pure.suffix in DATA or stem == "prepare":
        return "data"
    if set(split(pure.stem)) & MEASURES or {"eval", "evaluation", "metrics", "benchmark", "benchmarks"} & set(folders):
        return "looks like the measurement"
    return ""


def closed(tree: Tree, path: str, script: str) -> str:
    """Why a file of the tree should not be changed, by its name or its text; empty where nothing speaks against it."""
    if why := protects(path):
        return why
    text = tree.text(path)
    if SAYS.search(text[:1000]):
        return "says itself that it must not be changed"
    return "defines how it is measured" if path != script and DEFINES.search(text) else ""


def assign(tree: Tree, script: str, configs: Iterable[str], written: Iterable[str], keep: Iterable[str] = ()) -> Roles:
    """Roles for the files of a tree whose command runs `script`; what the run itself wrote is never protected.

    `keep` are files with parameters, which are edited in any case. Where everything looks like the measurement, the
    script may be changed.
    """
    written, configs, keep = set(written), set(configs), set(keep)
    reasons = {path: closed(tree, path, script) for path in tree.files}
    paths = [
        path
        for path in tree.files
        if (PurePosixPath(path).suffix.lower() in SOURCES or path in configs) and (not reasons[path] or path in keep)
        and not path.split("/")[0].startswith(".")
    ]  # fmt: skip
    if not paths and script:
        paths = [script]
    shut = {path: why for path, why in reasons.items() if why and path not in paths and path not in written}
    editable = _patterns(paths, [path for path in tree.files if path not in paths and path not in shut], tree)
    return Roles(
        {pattern: "" for pattern in editable},
        _grouped(shut, [*paths, *written], tree),
        tuple(paths),
    )


def _patterns(paths: list[str], others: list[str], tree: Tree) -> list[str]:
    """The files, or `folder/**/*.py` where all of a package (or of very many files) may be changed."""
    packages = [package for package in tree.packages if any(path.startswith(f"{package}/") for path in paths)]
    globs = {
        f"{package}/**/*.py": package
        for package in packages
        if not any(path.startswith(f"{package}/") and path.endswith(".py") for path in others)
    }
    covered = [p for p in paths if any(p.startswith(f"{g}/") and p.endswith(".py") for g in globs.values())]
    rest = [path for path in paths if path not in covered]
    if len(rest) > MOST_LISTED:
        suffixes = sorted({PurePosixPath(path).suffix for path in rest})
        return [*globs, *(f"**/*{suffix}" for suffix in suffixes)]
    return [*rest, *globs]


def _grouped(shut: Mapping[str, str], open_: Iterable[str], tree: Tree) -> dict[str, str]:
    """Each protected file by its path, or its whole folder where nothing in that may be changed or was written."""
    open_ = list(open_)
    found: dict[str, str] = {}
    for path, why in shut.items():
        folder = path.split("/")[0]
        whole = "/" in path and not any(other.startswith(f"{folder}/") for other in open_)
        if whole and all(shut.get(other) == why for other in tree.under(folder)):
            found[f"{folder}/**"] = why
        else:
            found[path] = why
    return found
