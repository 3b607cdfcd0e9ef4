"""Who may import whom: the floors of docs/design, read from the source."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "bilevel"
FLOORS = {
    0: "objective space acts trial trace budget settings noise codec errors evidence eprocess imports guardrails "
    "pareto guards quantiles rules surrogate prose hints steps addenda",
    1: "call calls task researcher view mechanism carrying lab named stints bounds workflow_step",
    2: "answered fold draft shadow facts keep learning description planning loop surfaces arms levels climbing ladder "
    "probation situations conformance step_suite port_suites admission reading shape outside questions saying rollout "
    "watch fresh rollback claim helps rehearsal forking steered persons measurement nesting holding",
    3: "llm agents execution sandbox store tasks researchers mechanisms memory",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
DOORS = 4
# The folder task runs a candidate's program, and an agent is one: the adapters that go through another.
BESIDE = {("tasks", "execution"), ("agents", "execution")}
PURE_FORBIDDEN = {"time", "os", "sqlite3", "pathlib", "shutil", "subprocess", "socket", "tempfile", "datetime", "io",
                  "secrets", "uuid", "asyncio", "urllib", "http", "logging", "sys"}  # fmt: skip


def files():
    return [path for path in sorted(ROOT.rglob("*.py")) if "catalog" not in path.relative_to(ROOT).parts]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@functools.cache
def imports(path, *, top_level=False):
    """Dotted names that a file imports, with the names taken from `bilevel` itself as modules."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.append(full if is_module(full) else node.module)
    return found


def is_module(name):
    parts = name.split(".")
    if parts[0] != "bilevel":
        return False
    path = ROOT.joinpath(*parts[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def part_of(dotted):
    """The part of the table that a module of ours belongs to: its first name below `bilevel`."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ""


def floor_of(part):
    return FLOOR.get(part, DOORS)


CASES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in files()]


@pytest.mark.parametrize("path", CASES)
def test_nobody_imports_upwards(path):
    module = module_of(path)
    part = module[0] if module else ""
    for name in imports(path):
        if name.split(".")[0] != "bilevel":
            continue
        other = part_of(name)
        if other in (part, "") or (part, other) in BESIDE:
            continue
        assert floor_of(other) <= floor_of(part), f"{part} (floor {floor_of(part)}) imports {name}"
        if floor_of(part) == 3:
            assert floor_of(other) < 2, f"adapter {part} imports {name}"


@pytest.mark.parametrize("path", [p for p in CASES if floor_of((module_of(p.values[0]) or ("",))[0]) <= 2])
def test_the_lower_floors_need_the_standard_library_only(path):
    allowed = sys.stdlib_module_names | {"bilevel"}
    foreign = {name.split(".")[0] for name in imports(path)} - allowed
    assert not foreign


@pytest.mark.parametrize("path", [p for p in CASES if floor_of((module_of(p.values[0]) or ("",))[0]) == 0])
def test_floor_zero_knows_no_clock_no_disk_and_no_network(path):
    assert not {name.split(".")[0] for name in imports(path)} & PURE_FORBIDDEN


def test_nothing_imports_itself_in_a_circle():
    graph = {}
    for path in files():
        name = ".".join(("bilevel", *module_of(path)))
        graph[name] = {
            other for other in imports(path, top_level=True) if other.startswith("bilevel") and other != name
        }
    finished, on_the_way = set(), []

    def visit(name):
        if name in finished or name not in graph:
            return
        assert name not in on_the_way, " -> ".join([*on_the_way[on_the_way.index(name) :], name])
        on_the_way.append(name)
        for other in sorted(graph[name]):
            visit(other)
        on_the_way.pop()
        finished.add(name)

    for name in sorted(graph):
        visit(name)


@pytest.mark.parametrize("path", CASES)
def test_no_escapes(path):
    text = path.read_text("utf-8")
    assert "TYPE_CHECKING" not in text
    assert path.name not in ("utils.py", "helpers.py", "common.py")


def test_the_table_names_what_there_is():
    here = {(module_of(path) or ("",))[0] for path in files()}
    assert all(name in here for floor in (0, 1, 2) for name in FLOORS[floor].split() if (ROOT / f"{name}.py").exists())
    assert {"objective", "loop", "levels", "lab"} <= here


def test_the_catalog_is_data():
    for path in files():
        for name in imports(path):
            assert not name.startswith("bilevel.catalog."), f"{path.name} imports {name}"
    init = ROOT / "catalog" / "__init__.py"
    if init.exists():
        body = ast.parse(init.read_text("utf-8")).body
        assert all(isinstance(node, ast.Expr) for node in body)


def test_the_core_loads_nothing_heavy():
    code = (
        "import sys, bilevel.loop, bilevel.levels\n"
        "heavy = ['numpy', 'pydantic', 'torch', 'optuna', 'rich', 'scipy', 'sqlite3', 'cyclopts', 'asyncio']\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
