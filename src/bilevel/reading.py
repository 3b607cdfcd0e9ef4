"""Reading a mechanism's text without running it: what it imports, what it reaches for, what it hides.

    read(source)         every problem, each with its line; an empty list says that none was found
    allowed()            what a mechanism may import, in a sentence for authors

What it defines (one class, its hooks, where its state is) is in `shape`. Reading keeps honest authors from mistakes;
it is no wall against malice, since Python cannot be made safe by inspection. The wall is the process that guests live
in.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator

from bilevel import budget, call, errors, objective, settings, space, trace, trial, view
from bilevel.imports import NUMERICAL, OF_STEPS, OURS, STANDARD
from bilevel.shape import known_private, root_of, shape_problems, step_problems
from bilevel.workflow_step import is_step

NO_CODE = "a mechanism has no files, input or code but its own"
NO_REACH = "may not be used: it reaches for what was not given"
FORBIDDEN_NAMES = {
    **dict.fromkeys(("open", "input", "breakpoint", "help", "exit", "quit"), NO_CODE),
    **dict.fromkeys(("compile", "exec", "globals", "locals", "vars", "memoryview"), NO_CODE),
    **dict.fromkeys(("__builtins__", "__import__"), NO_CODE),
    "eval": f"{NO_CODE}; values are typed already: 2**19 is the number 524288, never a text to evaluate",
    **dict.fromkeys(("setattr", "delattr"), "records are frozen: make changed copies with dataclasses.replace"),
    "hash": "it differs from process to process; candidate.id and bilevel.codec.content_hash do not",
    "id": "it is an address and differs from process to process; candidate.id does not",
}
HARMLESS_DUNDERS = frozenset({"__name__", "__doc__", "__all__", "__slots__", "__version__", "__author__", "__init__"})
# On a module. Those of the second set give the machine away on any object, as under another name for a module.
FORBIDDEN_ATTRIBUTES = frozenset({
    "builtins", "codecs", "ctypes", "ctypeslib", "datetime64", "f2py", "fromfile", "genfromtxt", "importlib", "inspect",
    "io", "load", "loadtxt", "memmap", "modules", "os", "pathlib", "pickle", "save", "savetxt", "savez", "socket",
    "subprocess", "sys", "testing", "threading", "tofile",
})  # fmt: skip
NOWHERE = frozenset({"builtins", "codecs", "ctypes", "importlib", "os", "pickle", "socket", "subprocess", "sys"})
PUBLIC_UNDERSCORES = frozenset({"_replace", "_asdict", "_fields", "_make"})  # of named tuples
SEEDED_RANDOM = frozenset({"Random"})  # of the module random
SEEDED_NUMPY = frozenset({"default_rng", "Generator", "PCG64", "SeedSequence", "RandomState"})
MAKES_CHANCE = frozenset({"Random", "default_rng", "RandomState", "PCG64", "SeedSequence"})
MOST_SOURCE = 60_000  # characters
DEEPEST = 100  # nested expressions and blocks
MOST_PROBLEMS = 20
PRIVATE_TEXT = re.compile(r"__[a-z]+__|\{[^{}]*[.\[]_")
HOST_TYPES = (
    budget.Budget, budget.Cost, call.Message, call.Reply, call.Request, objective.Objective, settings.Settings,
    space.Bool, space.Candidate, space.Change, space.Choice, space.Derived, space.Float, space.Int, space.Space,
    trace.Trace, trial.Count, trial.Decision, trial.Fault, trial.Lesson, trial.Pending, trial.Proposal, trial.Run,
    trial.Step, trial.Trial, trial.TurnedBack, view.Below, view.Block, view.Briefing, view.View, errors.BilevelError,
)  # fmt: skip


def read(source: str) -> list[str]:
    """What is wrong with a text that was not run, at most 20 sentences; each names its line."""
    if len(source) > MOST_SOURCE:
        return [f"the source has {len(source):,} characters; at most {MOST_SOURCE:,} are allowed"]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", None) or "").strip()
        return [f"it does not parse: {getattr(error, 'msg', error)} (line {line}{f': {text:.120}' if text else ''})"]
    except (RecursionError, MemoryError):
        return [f"it does not parse: its expressions are nested too deeply; at most {DEEPEST} are allowed"]
    if _deeper_than(tree, DEEPEST):
        return [f"its expressions or blocks are nested more than {DEEPEST} deep; split them up"]
    step = is_step(source)
    found = [
        *_imports(tree, OF_STEPS if step else frozenset()), *_names(tree),
        *_attributes(tree), *_texts(tree), *_guesses(tree), *_chance(tree),
        *_swallowed(tree), *(step_problems if step else shape_problems)(tree),
    ]  # fmt: skip
    return _in_order(found)[:MOST_PROBLEMS]


def _in_order(found: list[str]) -> list[str]:
    """Each problem once, by lines; what may be imported is listed with the first import that may not."""
    by_line = sorted(dict.fromkeys(found), key=lambda text: int(m[1]) if (m := re.match(r"line (\d+):", text)) else 0)
    listed, ordered = f"; allowed are: {allowed()}", list[str]()
    for text in by_line:
        again = text.endswith(listed) and any(other.endswith(listed) for other in ordered)
        ordered.append(text.removesuffix(listed) if again else text)
    return ordered


def allowed() -> str:
    """What a mechanism may import, in a sentence for authors."""
    here = sorted(name for name in NUMERICAL if importlib.util.find_spec(name))
    return f"{', '.join(sorted(STANDARD))}; {', '.join(sorted(OURS))}; installed here: {', '.join(here) or 'none'}"


def numerical(source: str) -> tuple[str, ...]:
    """The modules of numpy, scipy and sklearn that a text imports by name."""
    names = {name for node in ast.walk(ast.parse(source)) for name in _modules(node)}
    return tuple(sorted(name for name in names if name.split(".")[0] in NUMERICAL))


def _deeper_than(tree: ast.AST, most: int) -> bool:
    level: list[ast.AST] = [tree]
    for _ in range(most):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return False
    return True


# ---- imports ----


def _modules(node: ast.AST) -> list[str]:
    """The modules that a statement imports, by their full names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    return [f"bilevel.{alias.name}" for alias in node.names] if node.module == "bilevel" else [node.module or ""]


def _imports(tree: ast.Module, besides: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"line {node.lineno}: imports must be absolute"
            continue
        for name in _modules(node):
            yield from _import(name, node.lineno) if name not in besides else ()
        if isinstance(node, ast.ImportFrom):
            yield from _imported(node)


def _import(name: str, line: int) -> Iterator[str]:
    top = name.split(".")[0]
    if name == "__future__" or top in STANDARD or name in OURS:
        return
    if top not in NUMERICAL:
        yield f"line {line}: {name!r} may not be imported; allowed are: {allowed()}"
    elif importlib.util.find_spec(top) is None:
        yield f"line {line}: {top!r} is not installed here; allowed are: {allowed()}"
    elif FORBIDDEN_ATTRIBUTES & set(name.split(".")):
        yield f"line {line}: {name!r} reaches outside a mechanism and may not be imported"


def _imported(node: ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        if alias.name == "*":
            yield f"line {node.lineno}: import * hides where a name comes from; name what you need"
        elif alias.name in FORBIDDEN_ATTRIBUTES or alias.name.startswith("_"):
            yield f"line {node.lineno}: {alias.name} may not be imported: it reaches outside a mechanism"


# ---- names and attributes ----


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield f"line {node.lineno}: {node.id} may not be used: {FORBIDDEN_NAMES[node.id]}"
        elif isinstance(node, ast.Name) and _is_dunder(node.id) and node.id not in HARMLESS_DUNDERS:
            yield f"line {node.lineno}: {node.id} {NO_REACH}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from _called(node, node.func.id)


def _called(node: ast.Call, name: str) -> Iterator[str]:
    if name == "type" and len(node.args) > 1:
        yield f"line {node.lineno}: type(...) may not make classes; write a class statement"
    if name in ("getattr", "hasattr"):
        asked = node.args[1] if len(node.args) > 1 else None
        if not (isinstance(asked, ast.Constant) and isinstance(asked.value, str) and not asked.value.startswith("_")):
            yield f"line {node.lineno}: {name} needs a fixed name without a leading underscore"


def _attributes(tree: ast.Module) -> Iterator[str]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {alias.asname or alias.name.split(".")[0] for node in imports for alias in node.names}
    own = known_private(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield from _attribute(node, modules, own)


def _attribute(node: ast.Attribute, modules: set[str], own: frozenset[str]) -> Iterator[str]:
    mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    above = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super"
    root = root_of(node)
    if _is_dunder(node.attr):
        if node.attr == "__setattr__":
            yield f"line {node.lineno}: __setattr__ may not be used: {FORBIDDEN_NAMES['setattr']}"
        elif node.attr not in ("__name__", "__init__", "__doc__"):
            yield f"line {node.lineno}: {node.attr} may not be used in a mechanism: {NO_CODE}"
    elif node.attr.startswith("_") and not mine and not above and node.attr not in PUBLIC_UNDERSCORES | own:
        yield f"line {node.lineno}: {node.attr} is private to another object; use its public names"
    elif (root in modules and node.attr in FORBIDDEN_ATTRIBUTES) or (node.attr in NOWHERE and not mine):
        yield f"line {node.lineno}: {ast.unparse(node)} reaches outside a mechanism and may not be used"
    elif root == "bilevel" and isinstance(node.value, ast.Name) and f"bilevel.{node.attr}" not in OURS:
        yield f"line {node.lineno}: bilevel.{node.attr} may not be used; allowed are: {', '.join(sorted(OURS))}"


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and len(name) > 4


def _texts(tree: ast.Module) -> Iterator[str]:
    """Texts that name Python's insides: a format string may walk along attributes, as in '{0.__class__}'."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            found = PRIVATE_TEXT.search(node.value)
            if found and node.value != "__main__":
                yield f"line {node.lineno}: the text {node.value!r:.80} names Python's insides ({found[0]}), {NO_REACH}"


def _guesses(tree: ast.Module) -> Iterator[str]:
    """Defaults that hide that the host has no such attribute: getattr(view, "history", [])."""
    known = {name for kind in HOST_TYPES for name in (*dir(kind), *getattr(kind, "__dataclass_fields__", ()))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            known.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            known.add(node.name)
        if isinstance(node, ast.ClassDef):
            named = (inner for part in node.body if not isinstance(part, ast.FunctionDef) for inner in ast.walk(part))
            known |= {inner.id for inner in named if isinstance(inner, ast.Name)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1):
            continue
        asked, guessed = node.args[1], node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)
        if guessed and isinstance(asked, ast.Constant) and isinstance(asked.value, str) and asked.value not in known:
            yield (
                f"line {node.lineno}: nothing that a hook is given has an attribute {asked.value!r}, and "
                f"{ast.unparse(node):.80} hides that; a view has: {_public(view.View)}"
            )


def _public(kind: type) -> str:
    names = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    return ", ".join(sorted(name for name in names if not name.startswith("_")))


# ---- chance, and what is hidden ----


def _chance(tree: ast.Module) -> Iterator[str]:
    """Random numbers that come from global state, or from no seed."""
    way_out = "does not replay; use view.rng('a name')"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            module, _, last = text.rpartition(".")
            shared = module == "random" and last not in SEEDED_RANDOM
            if shared or (module in ("np.random", "numpy.random") and last not in SEEDED_NUMPY):
                yield f"line {node.lineno}: {text} is global chance and {way_out}"
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            for alias in node.names:
                if alias.name not in SEEDED_RANDOM:
                    yield f"line {node.lineno}: random.{alias.name} is global chance and {way_out}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in MAKES_CHANCE:
            given = [*node.args, *(word.value for word in node.keywords)]
            if all(isinstance(value, ast.Constant) and value.value is None for value in given):
                yield f"line {node.lineno}: {ast.unparse(node)} without a seed {way_out}"


def _swallowed(tree: ast.Module) -> Iterator[str]:
    """Fallbacks that would hide that something does not work."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try | ast.TryStar):
            continue
        if any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in node.body):
            yield f"line {node.lineno}: a fallback for an import hides that it failed; import plainly what is allowed"
        for handler in node.handlers:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            for kind in (ast.unparse(kind) if kind else "everything" for kind in kinds):
                if kind in ("everything", "Exception", "BaseException"):
                    yield (
                        f"line {handler.lineno}: catching {kind} hides mistakes; catch the one error that you expect: "
                        "what a hook raises is recorded, and the hook skipped"
                    )
