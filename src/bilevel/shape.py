"""The shape of a mechanism's text: one class, hooks with the right signatures, and no state but the memory."""

import ast
from collections.abc import Iterator

from bilevel.mechanism import HOOKS, Mechanism
from bilevel.workflow_step import KIND, place_in, step_kind

Method = ast.FunctionDef | ast.AsyncFunctionDef
MUTATORS = frozenset({
    "add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "extendleft", "insert",
    "intersection_update", "pop", "popitem", "popleft", "push", "remove", "reverse", "rotate", "setdefault", "sort",
    "update",
})  # fmt: skip
WAY_OUT = "which is lost on resume; return the new state from remember(self, memory, trial) and read it as view.memory"
DUNDERS = frozenset({"__init__", "__repr__", "__str__", "__slots__"})  # what a mechanism may define
VALUES = ("Candidate", "Proposal", "Trial", "Trace", "Space", "View", "Briefing", "Run", "Decision", "Step", "Pending")


def shape_problems(tree: ast.Module) -> Iterator[str]:
    """What is wrong with what a text defines; each sentence names its line."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    kinds = [node for node in classes.values() if _is_mechanism(node, classes)]
    yield from _whose_mechanism(tree)
    if len(kinds) != 1:
        names = ", ".join(node.name for node in kinds) or "none"
        yield f"it must define exactly one subclass of Mechanism at the top, and defines {names}{_hint(tree, kinds)}"
        return
    kind = kinds[0]
    yield from _class(kind, classes)
    yield from _values(classes)
    yield from _unused(tree, kind)
    yield from _state(tree, kind)


def step_problems(tree: ast.Module) -> Iterator[str]:
    """The same for a text that defines a step of a workflow: its place, `take`, and helpers with an underscore."""
    kind = step_kind(tree)
    if kind is None:
        yield f"it must define exactly one subclass of {KIND} at the top, and nothing else of the kind"
        return
    if [ast.unparse(base) for base in kind.bases] != [KIND] or kind.keywords or kind.decorator_list:
        yield f"line {kind.lineno}: write class {kind.name}({KIND}), with nothing else in the brackets or above it"
    for method in _methods(kind):
        expected, given = ["self", "view", "so_far"], [argument.arg for argument in method.args.args]
        if isinstance(method, ast.AsyncFunctionDef):
            yield f"line {method.lineno}: {method.name} must be a plain function, not async: nobody awaits it"
        if method.name == "take" and (given != expected or method.decorator_list):
            yield f"line {method.lineno}: expected def take({', '.join(expected)}), found def take({', '.join(given)})"
        if method.name != "take" and not method.name.startswith("_"):
            yield f"line {method.lineno}: {method.name} would not be called; helpers are called _{method.name}"
        if method.name.startswith("__"):
            yield f"line {method.lineno}: {method.name} may not be defined by a step: take and its place are all it has"
    try:
        place_in(tree)
    except ValueError as error:
        yield str(error)
    yield from _state(tree, kind)


def root_of(node: ast.expr) -> str:
    """The name that a chain of attributes, indices and calls begins with; empty where it begins with none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def known_private(tree: ast.Module) -> frozenset[str]:
    """Names with an underscore that the text itself defines: they are private to its own objects."""
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    fields = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and root_of(node) == "self"
    }
    return frozenset(name for name in functions | names | fields if name.startswith("_") and not name.startswith("__"))


# ---- which class ----


def _is_mechanism(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    bases = [ast.unparse(base).split(".")[-1] for base in node.bases]
    others = [classes[base] for base in bases if base in classes and base != node.name]
    return "Mechanism" in bases or any(_is_mechanism(other, {}) for other in others)


def _whose_mechanism(tree: ast.Module) -> Iterator[str]:
    """Another thing under the name Mechanism."""
    for node in ast.walk(tree):
        name = node.name if isinstance(node, ast.ClassDef | ast.FunctionDef) else ""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        if isinstance(node, ast.ImportFrom) and node.module != "bilevel.mechanism":
            name = next((a.asname or a.name for a in node.names if "Mechanism" in (a.asname, a.name)), "")
        if name == "Mechanism":
            line = getattr(node, "lineno", 0)
            yield f"line {line}: Mechanism is given another meaning; write: from bilevel.mechanism import Mechanism"


def _hint(tree: ast.Module, kinds: list[ast.ClassDef]) -> str:
    if kinds:
        return "; put the logic of all into one class (a helper class does not derive from Mechanism)"
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and _is_mechanism(node, {})]
    if inner:
        return f"; line {inner[0].lineno}: {inner[0].name} is inside another block: move it to the left margin"
    loose = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and {*HOOKS} & {m.name for m in _methods(node)}
    ]
    if loose:
        return f"; line {loose[0].lineno}: write class {loose[0].name}(Mechanism), or it would never be called"
    return " (from bilevel.mechanism import Mechanism; class MyRule(Mechanism): ...)"


def _methods(node: ast.ClassDef) -> list[Method]:
    return [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]


def _class(kind: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[str]:
    for word in kind.keywords:
        more = word.arg or "keywords"
        yield f"line {kind.lineno}: {kind.name} may have no {more}; write class {kind.name}(Mechanism)"
    for decorator in kind.decorator_list:
        if not ast.unparse(decorator).split("(")[0].endswith("dataclass"):
            yield f"line {kind.lineno}: {kind.name} may not be decorated with {ast.unparse(decorator):.60}"
    bases = [classes[name] for name in map(ast.unparse, kind.bases) if name in classes]
    methods = [method for node in (kind, *bases) for method in _methods(node)]
    if not any(method.name in HOOKS for method in methods):
        yield f"{kind.name} overrides no hook, so it would never be called; the hooks are: {', '.join(HOOKS)}"
    for method in methods:
        yield from _method(method)
    yield from _assigned(kind)
    yield from _memory(kind, methods)


def _assigned(kind: ast.ClassDef) -> Iterator[str]:
    """Hooks and Python's own methods that are assigned instead of defined."""
    for node in ast.walk(kind):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in HOOKS:
            inside = any(node in ast.walk(method) for method in _methods(kind))
            if not inside:
                yield f"line {node.lineno}: {node.id} must be defined in the class with def, not assigned"


def _memory(kind: ast.ClassDef, methods: list[Method]) -> Iterator[str]:
    remembers = next((method for method in methods if method.name == "remember"), None)
    reads = [n.lineno for n in ast.walk(kind) if isinstance(n, ast.Attribute) and ast.unparse(n) == "view.memory"]
    if reads and remembers is None:
        yield f"line {reads[0]}: view.memory is always None here: define remember(self, memory, trial), which makes it"
    if remembers is None:
        return
    if not any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(remembers)):
        yield f"line {remembers.lineno}: remember returns nothing, so view.memory stays None: return the new memory"
    if reads and _never_updated(remembers):
        yield (
            f"line {remembers.lineno}: remember returns what it was given, or a constant, so the state is never "
            "updated: return a new memory made of memory and trial"
        )
    if all(method.name == "remember" or method.name not in HOOKS for method in methods):
        yield f"line {remembers.lineno}: only remember is overridden, and alone it changes nothing: {_others()}"


def _never_updated(remembers: Method) -> bool:
    returned = [node.value for node in ast.walk(remembers) if isinstance(node, ast.Return) and node.value is not None]
    names = [a.arg for a in remembers.args.args[1:2]]
    set_again = {node.id for node in ast.walk(remembers) if isinstance(node, ast.Name) and _stores(node)}
    changed = {root_of(node) for node, _ in _changes(remembers)}
    return bool(returned) and all(
        isinstance(value, ast.Constant)
        or (isinstance(value, ast.Name) and value.id in names and value.id not in set_again | changed)
        for value in returned
    )


def _others() -> str:
    return f"read view.memory in one of {', '.join(HOOKS[1:])}"


# ---- hooks ----


def _method(method: Method) -> Iterator[str]:
    name, line = method.name, method.lineno
    if isinstance(method, ast.AsyncFunctionDef):
        yield f"line {line}: {name} must be a plain function, not async: nobody awaits it"
    if name in HOOKS:
        yield from _signature(method)
        yields = next((n for n in _own(method) if isinstance(n, ast.Yield | ast.YieldFrom)), None)
        if yields is not None:
            yield f"line {yields.lineno}: {name} is a generator (it has yield); collect what it gives and return a list"
    elif name.startswith("__") and name not in DUNDERS:
        yield f"line {line}: {name} may not be defined by a mechanism: its hooks and class attributes are all there is"
    elif not name.startswith("_") and not method.decorator_list:
        yield (
            f"line {line}: {name} is not a hook and nobody would call it; the hooks are: "
            f"{', '.join(HOOKS)}; a helper's name starts with an underscore"
        )
    if name == "__init__" and len(method.args.args) + len(method.args.kwonlyargs) > 1 + len(method.args.defaults):
        yield f"line {line}: a mechanism is made without arguments; make parameters class attributes"


def _own(method: Method) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    inner: list[ast.AST] = list(method.body)
    while inner:
        node = inner.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            inner += ast.iter_child_nodes(node)


def _signature(method: Method) -> Iterator[str]:
    code = getattr(Mechanism, method.name).__code__
    expected = code.co_varnames[: code.co_argcount]
    arguments = method.args
    found = tuple(argument.arg for argument in [*arguments.posonlyargs, *arguments.args])
    more = bool(arguments.vararg or arguments.kwarg or arguments.kwonlyargs)
    if found != expected or more or method.decorator_list:
        decorators = "".join(f"@{ast.unparse(node):.60} " for node in method.decorator_list)
        given = f"{decorators}def {method.name}({ast.unparse(arguments)})"
        yield f"line {method.lineno}: expected def {method.name}({', '.join(expected)}), found {given}"


# ---- what is never used, and what is given other members ----


def _values(classes: dict[str, ast.ClassDef]) -> Iterator[str]:
    for node in classes.values():
        for base in node.bases:
            name = ast.unparse(base).split(".")[-1]
            if name in VALUES and name not in classes:
                yield f"line {node.lineno}: {node.name} may not be a kind of {name}; make values with {name}(...)"


def _unused(tree: ast.Module, kind: ast.ClassDef) -> Iterator[str]:
    """Classes that hold logic which no hook ever reaches."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node is kind:
            continue
        inside = {id(inner) for inner in ast.walk(node)}
        used = any(isinstance(n, ast.Name) and n.id == node.name and id(n) not in inside for n in ast.walk(tree))
        if not used:
            yield (
                f"line {node.lineno}: class {node.name} is never used: {kind.name} is what the loop calls, so put the "
                f"logic into its hooks, or make an object of {node.name} there"
            )
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in HOOKS:
            yield f"line {node.lineno}: {node.name} stands outside {kind.name}, so it would never be called: indent it"


# ---- state ----


def _state(tree: ast.Module, kind: ast.ClassDef) -> Iterator[str]:
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    statements = [statement for statement in tree.body if isinstance(statement, ast.Assign | ast.AnnAssign)]
    assigned = {n.id for statement in statements for n in ast.walk(statement) if isinstance(n, ast.Name) and _stores(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)} keeps state in the module, {WAY_OUT}"
        changed = isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
        if isinstance(node, ast.expr) and changed and root_of(node) in imported:
            yield f"line {node.lineno}: {ast.unparse(node)} belongs to the host and may not be changed"
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    mine = {id(method) for method in _methods(kind)}
    for function in functions:
        yield from _defaults(function)
        local = _locals(function)
        shared = (assigned | {kind.name}) - local
        if id(function) in mine and function.name != "__init__":
            shared |= {"self", "cls"}
        for node, text in _changes(function):
            alone = isinstance(node, ast.Name) and node.id in ("self", "cls")  # self.update(...) is a method of its own
            if root_of(node) in shared and not alone:
                yield f"line {node.lineno}: {text} keeps state {_where(node, kind)}, {WAY_OUT}"


def _stores(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _where(node: ast.expr, kind: ast.ClassDef) -> str:
    root = root_of(node)
    return "on self" if root == "self" else "in the class" if root in ("cls", kind.name) else "in the module"


def _locals(function: Method) -> set[str]:
    arguments = function.args
    names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)} - {"self", "cls"}
    return names | {node.id for node in ast.walk(function) if _stores(node) and isinstance(node, ast.Name)}


def _changes(function: Method) -> Iterator[tuple[ast.expr, str]]:
    """What a function changes in place: attributes and items that are set or deleted, and containers that are told
    to change."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node, ast.unparse(node)[:80]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            yield node.func.value, f"{ast.unparse(node.func)}(...)"[:80]


def _defaults(function: Method) -> Iterator[str]:
    for default in (*function.args.defaults, *function.args.kw_defaults):
        if default is None:  # a keyword without one
            continue
        made = isinstance(default, ast.Call) and ast.unparse(default.func) in ("list", "dict", "set", "deque")
        if made or isinstance(default, ast.List | ast.Dict | ast.Set):
            yield (
                f"line {function.lineno}: the default {ast.unparse(default):.40} of {function.name} is made once and "
                f"shared by all calls, so it keeps state, {WAY_OUT}; as a default, use None or a tuple"
            )
