"""What the author of a mechanism needs to know, read from the real code, so that it cannot go stale."""

import ast
import functools
import importlib.metadata
import importlib.util
import inspect
import platform
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from bilevel.errors import HarnessError
from bilevel.mechanism import HOOKS, Mechanism
from bilevel.noise import Noise
from bilevel.objective import Objective
from bilevel.researchers.prompt import Section
from bilevel.settings import Settings
from bilevel.space import Bool, Candidate, Change, Choice, Float, Int, Space
from bilevel.trace import Trace
from bilevel.trial import Count, Decision, Pending, Proposal, Run, Status, Step, Trial
from bilevel.view import Below, Block, Briefing, View

GROUPS: tuple[tuple[str, int, tuple[type, ...]], ...] = (
    ("bilevel.mechanism: the class to extend", 58, (Mechanism,)),
    ("bilevel.view: what a hook is given", 56, (View, Briefing, Block)),
    ("bilevel.space: candidates and parameters", 55, (Candidate, Change, Space, Float, Int, Choice, Bool)),
    ("bilevel.trial: what was proposed, ran and was decided", 54, (Proposal, Trial, Run, Decision, Status, Step)),
    ("bilevel.trace: the history", 53, (Trace,)),
    (
        "bilevel.settings, .trial, .objective, .noise, .view: the rest",
        20,
        (Settings, Pending, Count, Objective, Noise, Below),
    ),
)
HIDDEN = frozenset({"asks", "call", "climbs", "isolation", "known", "shadows"})  # for researchers and for the record
FULL = 6000  # tokens of a prompt from which on there is room for the whole interface


def interface(budget: int) -> list[Section]:
    """The interface of a mechanism and all that its hooks are given; only the hooks where room is short."""
    if budget < FULL:
        return [hooks()]
    return [
        Section(title, _python("\n\n".join(outline(kind) for kind in kinds)), priority)
        for title, priority, kinds in GROUPS
    ]


def hooks() -> Section:
    """The hooks' signatures, each with its first sentence."""
    lines = ["class Mechanism:  # from bilevel.mechanism import Mechanism"]
    for hook in HOOKS:
        function = getattr(Mechanism, hook)
        names = ", ".join(inspect.signature(function).parameters)
        lines.append(f"    def {hook}({names})  # {_paragraph(inspect.getdoc(function) or '')}")
    return Section("The hooks", _python("\n".join(lines)), priority=82)


@functools.cache
def outline(kind: type) -> str:
    """A class as an author sees it: fields, public methods with their signatures, and docstrings; no bodies."""
    text = textwrap.dedent(inspect.getsource(kind))
    if issubclass(kind, Enum):
        return text.rstrip()
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.ClassDef)
    bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    lines = [f"class {node.name}{bases}:", *_indented(f'"""{doc}"""' if doc else "")]
    source = text.splitlines()
    for item in node.body:
        lines += _member(item, source, whole=kind is Mechanism)
    return "\n".join(lines)


def excerpt(source: str, names: Sequence[str]) -> str:
    """Functions and methods (`Class.method`) of a module, as they stand in its source; the rest is left out.

    Raises HarnessError where there is none of such a name.
    """
    found = _functions(source)
    parts, owner = list[str](), ""
    for name in names:
        if name not in found:
            raise HarnessError(f"there is no function {name!r} to show")
        of = name.rpartition(".")[0]
        parts += [f"class {of}:  # in part"] if of and of != owner else []
        parts.append(found[name])
        owner = of
    return "\n\n".join(parts)


@functools.lru_cache(maxsize=64)
def _functions(source: str) -> Mapping[str, str]:
    lines, found = source.splitlines(), dict[str, str]()
    for node in ast.parse(source).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for item in inside:
            if isinstance(item, ast.FunctionDef):
                found[owner + item.name] = "\n".join(lines[item.lineno - 1 : item.end_lineno])
    return found


def _member(item: ast.stmt, source: list[str], whole: bool) -> Iterator[str]:
    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not _hidden(item.target.id):
        yield from source[item.lineno - 1 : item.end_lineno]
    elif isinstance(item, ast.FunctionDef) and (not _hidden(item.name) or item.name in ("__len__", "__getitem__")):
        if any("overload" in ast.unparse(mark) for mark in item.decorator_list):
            return
        is_property = any("property" in ast.unparse(mark) for mark in item.decorator_list)
        arguments = ast.unparse(item.args).replace('"', "").replace("'", "")
        result = ast.unparse(item.returns).strip("'\"") if item.returns else "None"
        doc = ast.get_docstring(item) or ""
        doc = f"  # {doc if whole else _paragraph(doc)}" if doc else ""
        if is_property:
            yield f"    {item.name}: {result}{doc or ' (property)'}"
        else:
            yield f"    def {item.name}({arguments}) -> {result}{doc}"


def _hidden(name: str) -> bool:
    return name.startswith("_") or name in HIDDEN


def _paragraph(doc: str) -> str:
    return " ".join(doc.split("\n\n")[0].split())


def _indented(text: str) -> list[str]:
    return textwrap.indent(text, "    ").splitlines()


def _python(text: str) -> str:
    return f"```python\n{text}\n```"


def versions() -> str:
    """The versions of Python and of the numerical packages that are installed here, in a sentence for authors."""
    names = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn"}
    found = [f"{package} {importlib.metadata.version(package)}" for name, package in names.items()
             if importlib.util.find_spec(name)]  # fmt: skip
    return ", ".join([f"Python {platform.python_version()}", *found])
