"""Where a repository says how it is run: Makefile, README, pyproject.toml, package.json, Cargo.toml, its scripts."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from bilevel.init.commands import PYTHON, Command, parse
from bilevel.init.tree import Tree
from bilevel.init.words import split

TARGETS = {
    "benchmark": 84, "bench": 84, "train": 82, "measure": 80, "evaluate": 78, "eval": 78, "experiment": 78, "score": 78,
    "perf": 78, "timing": 76, "time": 76, "main": 72, "run": 72, "start": 62,
}  # fmt: skip
SCRIPTS = {
    "train": 70, "training": 70, "bench": 70, "benchmark": 70, "experiment": 68, "time": 68, "timing": 68,
    "main": 66, "run": 66, "evaluate": 60, "eval": 60, "score": 60, "simulate": 60, "solve": 60, "optimize": 60,
    "measure": 68,
}  # fmt: skip
NOT_SCRIPTS = {"setup", "conftest", "__init__", "noxfile", "tasks", "fabfile", "conf", "manage"}
ASIDE = {"test", "tests", "docs", "doc", "examples", "example", "tools", "notebooks", "third_party", "vendor"}
TASKS = (("poe", "tasks"), ("taskipy", "tasks"), ("pdm", "scripts"), ("rye", "scripts"))
TYPED = re.compile(
    r"(?:[A-Z_]+=\S+\s+)*(?:(?:uv|poetry|pdm|pipenv|rye|hatch)\s+run\s|\S*python[\d.]*\s|make\s|cargo\s+(?:run|bench)"
    r"|npm\s+run\s|node\s|(?:ba)?sh\s|\./)"
)


def everywhere(tree: Tree) -> Iterator[Command]:
    """Each command that some file of the tree names."""
    yield from _makefile(tree)
    yield from _readme(tree)
    yield from _pyproject(tree)
    yield from _package_json(tree)
    if tree.has("Cargo.toml") and tree.has("src/main.rs"):
        yield Command(("cargo", "run", "--release", "--quiet"), ("Cargo.toml",), 55)
    yield from _scripts(tree)


def _makefile(tree: Tree) -> Iterator[Command]:
    for path in tree.named("Makefile", "GNUmakefile")[:1]:
        text = tree.text(path)
        for hit in re.finditer(
            r"^([A-Za-z0-9][\w. -]*?)[ \t]*:(?![=:])([^\n]*)\n((?:\t[^\n]*(?:\n|\Z)|[ \t]*\n)*)", text, re.M
        ):
            lines = [line.strip().lstrip("@-+") for line in hit[3].splitlines() if line.strip()]
            for target in hit[1].split():
                worth = _worth(target, TARGETS)
                if not worth or not (lines or hit[2].strip()):
                    continue
                place = f"target {target} of {path}"
                alone = len(lines) == 1 and not hit[2].split("#")[0].strip() and "$" not in lines[0]
                unrolled = parse(lines[0], tree, place, worth) if alone else None
                yield unrolled or Command(("make", "-s", target), (place,), worth, _named_script(lines, tree))


def _named_script(lines: list[str], tree: Tree) -> str:
    """The one Python file that lines of a shell run, if they run just one."""
    named = {word for line in lines for word in re.findall(r"[\w./-]+\.py\b", line) if tree.has(word)}
    return named.pop() if len(named) == 1 else ""


def _readme(tree: Tree) -> Iterator[Command]:
    for path in tree.named("README.md", "README.rst", "README.txt", "README")[:1]:
        for number, line in _code_lines(tree.text(path)):
            line = line.strip().removeprefix("$ ").strip()
            line = re.sub(r"\s+#\s.*$", "", line)
            if not TYPED.match(line) or re.search(r"\bpip\b|pytest|-m venv|<[a-z]|\.\.\.", line):
                continue
            command = parse(line, tree, f"{path}, line {number}")
            if command is None or (command.words[0] == "make" and not _makes(command, tree)):
                continue
            name = _name_of(command)
            yield Command(
                command.words, command.places, max(_worth(name, TARGETS), 56), command.script, command.env,
                command.interpreter,
            )  # fmt: skip


def _makes(command: Command, tree: Tree) -> bool:
    target = command.words[-1]
    return bool(_worth(target, TARGETS)) and any(re.search(rf"^{re.escape(target)}\s*:", tree.text(p), re.M)
                                                 for p in tree.named("Makefile", "GNUmakefile"))  # fmt: skip


def _code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of fenced or indented code, continuation lines joined."""
    fenced, begun, parts = False, 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            continue
        if fenced or line.startswith(("    ", "\t")):
            begun = begun if parts else number
            if line.endswith("\\"):
                parts += line[:-1].strip() + " "
                continue
            yield begun, parts + line.strip()
        parts = ""


def _name_of(command: Command) -> str:
    if command.script:
        pure = PurePosixPath(command.script)
        return pure.parent.name if pure.stem == "__main__" else pure.stem
    return PurePosixPath(command.words[-1]).stem


def _pyproject(tree: Tree) -> Iterator[Command]:
    if not tree.has("pyproject.toml"):
        return
    try:
        data: Any = tomllib.loads(tree.text("pyproject.toml"))
    except tomllib.TOMLDecodeError:
        return
    for name, target in _table(data, "project", "scripts").items():
        module, _, function = str(target).partition(":")
        path = tree.module(module)
        if path and re.fullmatch(r"[A-Za-z_]\w*", function):
            code = f"import sys; from {module} import {function}; sys.exit({function}())"
            place = f"[project.scripts] {name} of pyproject.toml"
            yield Command((PYTHON, "-c", code), (place,), (_worth(name, TARGETS) or 58) - 8, path)
    for tool, key in TASKS:
        for name, value in _table(data, "tool", tool, key).items():
            text = value if isinstance(value, str) else value.get("cmd", "") if isinstance(value, dict) else ""
            worth = _worth(name, TARGETS)
            if worth and isinstance(text, str) and (command := parse(text, tree, f"[tool.{tool}.{key}] {name}", worth)):
                yield command


def _package_json(tree: Tree) -> Iterator[Command]:
    if not tree.has("package.json"):
        return
    try:
        data: Any = json.loads(tree.text("package.json"))
    except ValueError:
        return
    for name, text in _table(data, "scripts").items():
        worth = _worth(name, TARGETS)
        if worth and isinstance(text, str):
            place = f"script {name} of package.json"
            direct = parse(text, tree, place, worth) if text.startswith("node ") else None
            yield direct or Command(("npm", "run", "--silent", name), (place,), worth - 4)


def _scripts(tree: Tree) -> Iterator[Command]:
    """Scripts by their names, and those that nothing imports; deeper ones are less likely."""
    imported = _imported(tree)
    for path in tree.files:
        pure = PurePosixPath(path)
        aside = any(part in ASIDE or part.startswith(".") for part in pure.parts[:-1])
        if pure.suffix not in (".py", ".sh") or aside or pure.stem in NOT_SCRIPTS or len(pure.parts) > 4:
            continue
        if pure.stem.startswith("test_") or pure.stem.endswith("_test"):
            continue
        worth = SCRIPTS.get(pure.stem.lower(), 0)
        if not worth and pure.suffix == ".py":
            if pure.stem == "__main__":
                worth = 62
            elif pure.as_posix().removesuffix(".py").replace("/", ".").removeprefix("src.") not in imported and (
                len(pure.parts) == 1 or '"__main__"' in tree.text(path)
            ):
                named = [SCRIPTS[word] for word in split(pure.stem) if word in SCRIPTS]
                worth = max(named) - 14 if named else 40
        if not worth:
            continue
        worth -= 6 * max(0, len(pure.parts) - 1 - (pure.stem == "__main__") - (pure.parts[0] == "src"))
        command = parse(_typed(path, tree), tree, path, worth)
        if command is not None:
            yield command


def _typed(path: str, tree: Tree) -> str:
    """How one would type it: a module of a package by its dotted name."""
    pure = PurePosixPath(path)
    if pure.suffix == ".sh":
        return (
            f"sh {path}"
            if not tree.text(path).startswith("#!") or "bash" not in tree.text(path)[:40]
            else f"bash {path}"
        )
    inner = path.removeprefix("src/")
    if str(pure.parent) != "." and any(f"{package}/" in path for package in tree.packages):
        dotted = inner.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
        return f"{PYTHON} -m {dotted}"
    return f"{PYTHON} '{path}'"


def _imported(tree: Tree) -> set[str]:
    """Dotted names that some file of the tree imports."""
    found: set[str] = set()
    for path in tree.python[:2000]:
        try:
            nodes = list(ast.walk(ast.parse(tree.text(path))))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in nodes:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                found |= {base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)}
    return found


def _worth(name: str, table: dict[str, int]) -> int:
    """The worth of a name in a table: its own, or less where only a word of it is there."""
    if name.lower() in table:
        return table[name.lower()]
    parts = [table[word] for word in split(name) if word in table]
    return max(parts) - 8 if parts and not set(split(name)) & {"clean", "install", "test", "docs", "docker"} else 0


def _table(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}
