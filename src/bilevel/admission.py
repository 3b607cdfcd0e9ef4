"""The door: the first rung of the ladder that a mechanism climbs before it may steer a search.

    door(guest)      why a source text is refused, or None; fits `MechanismSurface(door=door)`
    admit(source)    the same as an Admission, with every problem

First the text is read without running it: does it parse, import only what is allowed, define one mechanism with the
right signatures, keep no state on self? Then it is loaded and put through `conformance.check_mechanism` in a child
process with limits on CPU time, wall time and memory, an empty environment and no way to write files. Reading the text
keeps honest authors from mistakes; it is no wall against malice, since Python cannot be made safe by inspection. The
wall is the process that guests live in.
"""

import ast
import contextlib
import importlib.util
import json
import linecache
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bilevel.conformance import check_mechanism
from bilevel.errors import GuestError, HarnessError
from bilevel.mechanism import HOOKS, Guest, Mechanism, load

STANDARD = frozenset({
    "abc", "bisect", "collections", "copy", "dataclasses", "decimal", "enum", "fractions", "functools", "heapq",
    "itertools", "json", "math", "numbers", "operator", "random", "re", "statistics", "string", "typing",
})  # fmt: skip
OURS = frozenset(
    f"bilevel.{name}"
    for name in ("codec", "errors", "mechanism", "noise", "objective", "settings", "space", "trace", "trial", "view")
)
NUMERICAL = frozenset({"numpy", "scipy", "sklearn"})
FORBIDDEN_NAMES = frozenset({
    "__builtins__", "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "exit", "globals", "help",
    "input", "locals", "memoryview", "open", "quit", "setattr", "vars",
})  # fmt: skip
FORBIDDEN_ATTRIBUTES = frozenset({
    "builtins", "ctypes", "ctypeslib", "f2py", "fromfile", "genfromtxt", "importlib", "inspect", "io", "load",
    "loadtxt", "memmap", "modules", "os", "save", "savetxt", "savez", "subprocess", "sys", "testing", "tofile",
})  # fmt: skip
SEEDED_RANDOM = frozenset({"Random"})  # of the module random
SEEDED_NUMPY = frozenset({"default_rng", "Generator", "PCG64", "SeedSequence"})
UNSEEDED = ("random.Random()", "Random()", "np.random.default_rng()", "numpy.random.default_rng()", "default_rng()")
CPU_SECONDS = 10
WALL_SECONDS = 20.0
MEMORY_BYTES = 2**30
MOST_SOURCE = 60_000  # characters
CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from bilevel.admission import child; child()"


TOO_SLOW = f"the conformance suite took more than {WALL_SECONDS:g} s: a hook never ends, or waits"


@dataclass(frozen=True)
class Admission:
    """Whether a mechanism passed the door, every problem found, and how many seconds it took."""

    ok: bool
    problems: tuple[str, ...]
    seconds: float


_JUDGED: dict[str, Admission] = {}


def door(guest: Guest) -> str | None:
    """Why a mechanism is refused, in sentences for its author, or None. Equal sources are judged once per process."""
    admission = admit(guest.source)
    return None if admission.ok else "; ".join(admission.problems)


def admit(source: str) -> Admission:
    """Judge a source text. Raises HarnessError where the child process cannot be started, or fails by itself."""
    if source not in _JUDGED:
        began = time.perf_counter()
        problems = read(source) or _tried(source)
        admission = Admission(not problems, tuple(problems), time.perf_counter() - began)
        if TOO_SLOW in problems:  # it may be the machine that is slow: judged anew when it comes again
            return admission
        _JUDGED[source] = admission
    return _JUDGED[source]


# ---- reading ----


def read(source: str) -> list[str]:
    """What is wrong with a text that was not run; the line is named in each sentence."""
    if len(source) > MOST_SOURCE:
        return [f"the source has {len(source):,} characters; at most {MOST_SOURCE:,} are allowed"]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", None) or "").strip()
        return [f"it does not parse: {getattr(error, 'msg', error)} (line {line}{f': {text}' if text else ''})"]
    found = [*_imports(tree), *_forbidden(tree), *_chance(tree), *_swallowed(tree), *_mechanism(tree)]
    return list(dict.fromkeys(found))


def allowed() -> str:
    """What a mechanism may import, in a sentence for authors."""
    here = sorted(name for name in NUMERICAL if importlib.util.find_spec(name))
    return f"{', '.join(sorted(STANDARD))}; {', '.join(sorted(OURS))}; installed here: {', '.join(here) or 'none'}"


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.level:
                yield f"line {node.lineno}: imports must be absolute"
                continue
            if node.module == "bilevel":
                names = [f"bilevel.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            yield from _import(name, node.lineno)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in FORBIDDEN_ATTRIBUTES or alias.name.startswith("_"):
                    yield f"line {node.lineno}: {alias.name} may not be imported: it reaches outside a mechanism"


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


def _forbidden(tree: ast.Module) -> Iterator[str]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {alias.asname or alias.name.split(".")[0] for node in imports for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield f"line {node.lineno}: {node.id} may not be used: a mechanism has no files, input or code but its own"
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node, modules)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            name = node.args[1] if len(node.args) > 1 else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("_")):
                yield f"line {node.lineno}: getattr needs a fixed name without a leading underscore"


def _attribute(node: ast.Attribute, modules: set[str]) -> Iterator[str]:
    own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    above = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super"
    root = _root(node)
    if node.attr.startswith("__") and node.attr.endswith("__"):
        if node.attr not in ("__name__", "__init__", "__doc__"):
            yield f"line {node.lineno}: {node.attr} may not be used in a mechanism"
    elif node.attr.startswith("_") and not own and not above:
        yield f"line {node.lineno}: {node.attr} is private to another object; use its public names"
    elif root in modules and node.attr in FORBIDDEN_ATTRIBUTES:
        yield f"line {node.lineno}: {ast.unparse(node)} reaches outside a mechanism and may not be used"


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


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
        elif isinstance(node, ast.Call) and ast.unparse(node) in UNSEEDED:
            yield f"line {node.lineno}: {ast.unparse(node)} without a seed {way_out}"


def _swallowed(tree: ast.Module) -> Iterator[str]:
    """Fallbacks that would hide that something does not work."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try):
            continue
        if any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in node.body):
            yield f"line {node.lineno}: a fallback for an import hides that it failed; import plainly what is allowed"
        for handler in node.handlers:
            kind = ast.unparse(handler.type) if handler.type else "everything"
            if kind in ("everything", "Exception", "BaseException"):
                yield (
                    f"line {handler.lineno}: catching {kind} hides mistakes; catch the one error that you expect: what "
                    "a hook raises is recorded, and the hook skipped"
                )


def _mechanism(tree: ast.Module) -> Iterator[str]:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    kinds = [node for node in classes if any(ast.unparse(b).split(".")[-1] == "Mechanism" for b in node.bases)]
    if len(kinds) != 1:
        names = ", ".join(node.name for node in kinds) or "none"
        hint = "" if kinds else " (from bilevel.mechanism import Mechanism; class MyRule(Mechanism): ...)"
        yield f"it must define exactly one subclass of Mechanism at the top, and defines {names}{hint}"
        return
    methods = [node for node in kinds[0].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if not any(method.name in HOOKS for method in methods):
        yield f"{kinds[0].name} overrides no hook, so it would never be called; the hooks are: {', '.join(HOOKS)}"
    for method in methods:
        yield from _method(method)
    reads = [n.lineno for n in ast.walk(kinds[0]) if isinstance(n, ast.Attribute) and ast.unparse(n) == "view.memory"]
    if reads and not any(method.name == "remember" for method in methods):
        yield f"line {reads[0]}: view.memory is always None here: define remember(self, memory, trial), which makes it"


def _method(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    if isinstance(method, ast.AsyncFunctionDef):
        yield f"line {method.lineno}: {method.name} must be a plain function, not async"
    if method.name in HOOKS:
        yield from _signature(method)
    elif not method.name.startswith("_") and not method.decorator_list:
        yield (
            f"line {method.lineno}: {method.name} is not a hook and nobody would call it; the hooks are: "
            f"{', '.join(HOOKS)}; a helper's name starts with an underscore"
        )
    if method.name == "__init__":
        if len(method.args.args) + len(method.args.kwonlyargs) > 1 + len(method.args.defaults):
            yield f"line {method.lineno}: a mechanism is made without arguments; make parameters class attributes"
        return
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and _root(node) == "self":
            yield (
                f"line {node.lineno}: {ast.unparse(node)} keeps state on self, which is lost on resume; return the new "
                "state from remember(self, memory, trial) and read it as view.memory"
            )


def _signature(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    code = getattr(Mechanism, method.name).__code__
    expected = code.co_varnames[: code.co_argcount]
    arguments = method.args
    found = tuple(argument.arg for argument in [*arguments.posonlyargs, *arguments.args])
    more = bool(arguments.vararg or arguments.kwarg or arguments.kwonlyargs)
    if found != expected or more or method.decorator_list:
        given = f"def {method.name}({ast.unparse(arguments)})"
        yield f"line {method.lineno}: expected def {method.name}({', '.join(expected)}), found {given}"


# ---- trying ----


def _tried(source: str) -> list[str]:
    """What the conformance suite says, in a child process that is killed with all its children at its limits."""
    here = str(Path(__file__).resolve().parents[1])
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", CHILD, here],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd="/", start_new_session=True, text=True,
        )  # fmt: skip
    except OSError as error:
        raise HarnessError(f"the process that tests mechanisms cannot be started: {error}") from error
    try:
        out, err = process.communicate(source, timeout=WALL_SECONDS)
    except subprocess.TimeoutExpired:
        return [TOO_SLOW]
    finally:
        _kill(process)
    return _verdict(process.returncode, out, err)


def _verdict(code: int, out: str, err: str) -> list[str]:
    with contextlib.suppress(IndexError, ValueError):
        said = json.loads(out.strip().splitlines()[-1])
        if "failed" in said:
            raise HarnessError(f"the conformance suite failed, not the mechanism that it tried:\n{said['failed']}")
        return [str(problem) for problem in said["problems"]]
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return [f"it used more than {CPU_SECONDS} s of CPU time in the conformance suite: a hook loops or is too slow"]
    if "MemoryError" in err:
        return [f"it used more than {MEMORY_BYTES // 2**20} MiB of memory in the conformance suite"]
    if code >= 0:  # no guest can end the process in this way
        raise HarnessError(f"the process that tests mechanisms ended with code {code}: {err.strip()[-1000:]}")
    return [f"it crashed the process that tested it ({signal.Signals(-code).name}): {err.strip()[-300:]}"]


def _kill(process: subprocess.Popen[str]) -> None:
    """End the child and everything that it started, and free its pipes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it did not read is lost, and may be
                pipe.close()


def child() -> None:
    """In the child process: read a source text, try it, write the problems as one line of JSON."""
    source = sys.stdin.read()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a guest prints is not an answer
    _limit()
    linecache.cache["<mechanism guest>"] = (len(source), None, source.splitlines(keepends=True), "<mechanism guest>")
    answer.write(json.dumps(_tried_here(source)) + "\n")
    answer.flush()
    os._exit(0)


def _tried_here(source: str) -> dict[str, object]:
    """The problems of a source text, or how the suite itself failed: an error with no line of the guest in it."""
    try:
        return {"problems": check_mechanism(lambda: load(Guest("guest", source)))}
    except MemoryError:
        return {"problems": [f"it used more than {MEMORY_BYTES // 2**20} MiB of memory in the conformance suite"]}
    except GuestError as error:
        return {"problems": [str(error)]}
    except BaseException as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<mechanism")]
        if lines:
            return {"problems": [f"line {lines[-1]}: it raised {type(error).__name__}: {error}"]}
        return {"failed": traceback.format_exc()[-2000:]}


def _limit() -> None:
    """Bound this process's CPU time, memory and files, where the system can."""
    try:
        import resource
    except ImportError:  # not on this system; the wall limit of the parent still holds
        return
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(what, (most, most + (what == resource.RLIMIT_CPU)))
        except (ValueError, OSError):  # a system with a lower limit, or without this one
            continue
