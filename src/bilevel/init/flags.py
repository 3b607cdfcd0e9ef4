"""Parameters that stand in Python source: options of its command line, and constants at the top of its files."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from bilevel.errors import InputError
from bilevel.execution import constants
from bilevel.init.tree import Tree
from bilevel.space import Value

MOST_FILES = 200


@dataclass(frozen=True)
class Flag:
    """An option of a command line: `--lr 0.1`, or a switch that is there or not.

    `off` is the switch that says no, where there is one; `choices` are all values that it takes.
    """

    name: str
    option: str
    value: Value
    switch: bool = False
    off: str = ""
    choices: tuple[Value, ...] = ()


def flags(source: str) -> dict[str, Flag]:
    """The options with a default that argparse or click gives a program, by name, in order; nothing is executed.

    A default that is a constant of the same file is looked up. Options with `nargs`, of lists, required ones and
    positional ones are left out. Raises nothing: what cannot be parsed has none.
    """
    try:
        tree = ast.parse(source)
        known = constants.read(source)
    except (SyntaxError, ValueError, RecursionError, InputError):
        return {}
    found: dict[str, Flag] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr in ("add_argument", "option") and (flag := _flag(call, known)):
            found.setdefault(flag.name, flag)
    return found


def _flag(call: ast.Call, known: Mapping[str, constants.Value]) -> Flag | None:
    names = [str(arg.value) for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    options = [name for name in names if name.startswith("--")]
    given = {word.arg: word.value for word in call.keywords if word.arg}
    if not options or {"nargs", "multiple"} & given.keys():
        return None
    option, _, off = options[0].partition("/")
    name = _text(given.get("dest")) or option.lstrip("-").replace("-", "_")
    action = _text(given.get("action")) or ast.unparse(given["action"]) if "action" in given else ""
    default = _literal(given["default"], known) if "default" in given else None
    if action.endswith("BooleanOptionalAction"):
        return Flag(name, option, bool(default), True, f"--no-{option[2:]}")
    if off.startswith("--") or "is_flag" in given:
        return Flag(name, option, bool(default), True, off)
    if action == "store_true":
        return Flag(name, option, False, True)
    if action or default is None or isinstance(default, tuple):
        return None
    kind = ast.unparse(given["type"]) if "type" in given else ""
    if kind == "float" and isinstance(default, int) and not isinstance(default, bool):
        default = float(default)
    if isinstance(default, bool):
        return None  # `type=bool` takes every text for true
    listed = _literal(given["choices"], known) if "choices" in given else ()
    choices = listed if isinstance(listed, tuple) else ()
    if kind.endswith("Choice") or "Choice(" in kind:
        inner = given["type"]
        listed = _literal(inner.args[0], known) if isinstance(inner, ast.Call) and inner.args else ()
        choices = listed if isinstance(listed, tuple) else ()
    return Flag(name, option, default, choices=choices if default in choices else ())


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _literal(node: ast.expr, known: Mapping[str, constants.Value]) -> Value | None:
    if isinstance(node, ast.Name):
        return cast(Value | None, known.get(node.id))
    try:
        return cast(Value | None, constants.read(f"X = {ast.unparse(node)}").get("X"))
    except InputError:
        return None


def given(words: Sequence[str], found: Mapping[str, Flag]) -> tuple[list[str], dict[str, Flag]]:
    """The words of a command without the options that are parameters, and these with the values that stood there.

    What stands twice or cannot be read as the type of its default stays as it is and is no parameter.
    """
    by_option = {option: flag for flag in found.values() for option in filter(None, (flag.option, flag.off))}
    rest: list[str] = []
    result = dict(found)
    todo = list(words)
    while todo:
        word = todo.pop(0)
        option, equals, text = word.partition("=")
        flag = by_option.get(option)
        if flag is None:
            rest.append(word)
        elif flag.switch:
            result[flag.name] = _with(flag, option == flag.option)
        else:
            text = text if equals else (todo.pop(0) if todo else "")
            value = _read(text, flag.value)
            if value is None or (flag.choices and value not in flag.choices):
                result.pop(flag.name, None)
                rest += [word] if equals else [word, text]
            else:
                result[flag.name] = _with(flag, value)
    return rest, result


def _with(flag: Flag, value: Value) -> Flag:
    return Flag(flag.name, flag.option, value, flag.switch, flag.off, flag.choices)


def _read(text: str, like: Value) -> Value | None:
    if isinstance(like, str):
        return text
    try:
        return int(text) if isinstance(like, int) else float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Constants:
    """The constants of one file, and for texts among them the values that its code compares them with."""

    path: str
    values: Mapping[str, Value]
    options: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    lower: tuple[str, ...] = ()


def constants_of(path: str, source: str) -> Constants:
    """The constants of a file; without any where it cannot be parsed. `lower`: those that only lack the capitals."""
    try:
        values = cast(dict[str, Value], constants.read(source, where=path))
        tree = ast.parse(source)
    except (InputError, SyntaxError, ValueError, RecursionError):
        return Constants(path, {})
    lower = [
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id.islower()
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, int | float)
    ]
    return Constants(path, values, _compared(tree, values), tuple(lower))


def _compared(tree: ast.Module, values: Mapping[str, Value]) -> dict[str, tuple[Value, ...]]:
    """The texts that a constant is compared with: `NAME == "a"`, `NAME in ("a", "b")`, or a key of `{…}[NAME]`."""
    found: dict[str, list[Value]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Compare(
                left=ast.Name(id=name), ops=[ast.Eq() | ast.NotEq()], comparators=[ast.Constant(value=str(x))]
            ):
                found.setdefault(name, []).append(x)
            case ast.Compare(
                left=ast.Name(id=name), ops=[ast.In()], comparators=[ast.Tuple(elts=e) | ast.List(elts=e)]
            ):
                found.setdefault(name, []).extend(_text(item) for item in e if _text(item))
            case ast.Subscript(value=ast.Dict(keys=keys), slice=ast.Name(id=name)):
                found.setdefault(name, []).extend(_text(key) for key in keys if key and _text(key))
            case ast.Match(subject=ast.Name(id=name), cases=cases):
                for case in cases:
                    if isinstance(case.pattern, ast.MatchValue) and (text := _text(case.pattern.value)):
                        found.setdefault(name, []).append(text)
    return {
        name: tuple(dict.fromkeys([values[name], *texts]))
        for name, texts in found.items()
        if isinstance(values.get(name), str)
    }


def imported_files(script: str, tree: Tree) -> list[str]:
    """The script and the files of the tree that it imports, directly or not, in the order found."""
    found: list[str] = []
    todo = [script]
    while todo and len(found) < MOST_FILES:
        path = todo.pop(0)
        if path in found or not path.endswith(".py"):
            continue
        found.append(path)
        todo += _imports(path, tree)
    return found


def _imports(path: str, tree: Tree) -> Iterable[str]:
    try:
        nodes = list(ast.walk(ast.parse(tree.text(path))))
    except (SyntaxError, ValueError, RecursionError):
        return []
    here = path.rpartition("/")[0]
    names: list[tuple[str, str]] = []  # where to look first, dotted
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [(here, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here
            for _ in range(node.level - 1):
                base = base.rpartition("/")[0]
            module = node.module or ""
            names += [(base, ".".join(filter(None, (module, alias.name)))) for alias in node.names]
            names += [(base, module)] if module else []
    found: list[str] = []
    for base, dotted in names:
        inner = dotted.replace(".", "/")
        beside = [f"{base}/{inner}" if base else inner, inner, f"src/{inner}"]
        hits = [f"{start}{end}" for start in beside for end in (".py", "/__init__.py") if tree.has(f"{start}{end}")]
        found += hits[:1]
    return found
