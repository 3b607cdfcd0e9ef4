"""Tasks and researchers of somebody else's module, by `python:module:attribute`; and the example of docs/domains.md."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bilevel.errors import InputError
from bilevel.researchers import make
from bilevel.tasks.catalog import find
from bilevel.testing import check_researcher, check_task

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "domains"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder with the example in it; what is imported from it is forgotten again."""
    for name in ("routes.py", "recipe.toml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def bilevel(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The installed command's own way in: the current folder is not on its path."""
    code = "import sys; sys.path = [entry for entry in sys.path if entry]; from bilevel.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True, timeout=120
    )  # fmt: skip


def test_the_example_keeps_the_contracts(here):
    task, researcher = find("python:routes:TASK"), make("python:routes:TwoOpt")
    assert check_task(task) == [] and check_researcher(researcher, task) == []
    broken = type(task.baseline())(files={"tour.txt": "0 1 1\n"})
    assert task.problems(broken, task.baseline()) == ["tour.txt must name each city from 0 to 23 once"]


def test_the_example_runs_as_a_program_and_stands_in_the_page():
    text = (EXAMPLE / "routes.py").read_text("utf-8")
    assert sum(bool(line.strip()) for line in text.splitlines()) < 60
    page = (ROOT / "docs" / "domains.md").read_text("utf-8")
    assert re.search(r"```python\n(.*?)```", page, re.DOTALL)[1] == text
    assert re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1] == (EXAMPLE / "recipe.toml").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-B", "routes.py"], cwd=EXAMPLE, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    best = float(re.search(r"'best': ([\d.]+)", done.stdout)[1])
    assert best < 6  # the baseline has 11.6


@pytest.mark.slow
def test_the_commands_of_the_page_work_and_a_resume_in_the_same_folder_goes_on(here):
    page = (ROOT / "docs" / "domains.md").read_text("utf-8")
    commands = re.search(r"```\n(bilevel check.*?)```", page, re.DOTALL)[1]
    for line in commands.splitlines():
        words = line.split("#")[0].split()[1:]
        done = bilevel(here, *words)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["b-routes-1", "routes-routes-1"]
    tour = json.loads((here / "best.json").read_text())["files"]["tour.txt"]
    assert sorted(map(int, tour.split())) == list(range(24))


@pytest.mark.slow
def test_a_run_is_gone_on_with_from_its_own_folder_only(here, tmp_path_factory):
    command = ("run", "a", "--task", "python:routes:TASK", "--researcher", "python:routes:TwoOpt", "--trials", "8")
    assert bilevel(here, *command, "--folder", "one").returncode == 0
    assert bilevel(here, *command, "--folder", "two", "--max-seconds", "0.0001").returncode == 0
    assert json.loads(bilevel(here, "status", "two", "--json").stdout)["state"] == "limit"
    done = bilevel(here, "resume", "two", "--max-seconds", "60")
    assert done.returncode == 0, done.stderr
    best = [json.loads(bilevel(here, "best", name, "--json").stdout) for name in ("one", "two")]
    assert best[0] == best[1]
    elsewhere = bilevel(tmp_path_factory.mktemp("elsewhere"), "resume", str(here / "two"))
    assert elsewhere.returncode == 2 and "no module 'routes' in the current folder" in elsewhere.stderr
    source = (here / "routes.py").read_text()
    (here / "routes.py").write_text(source.replace("Random(3)", "Random(4)"))
    changed = bilevel(here, "resume", "two")
    assert changed.returncode != 0 and "has changed" in changed.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python:routes", "write python:MODULE:NAME"),
        ("python:", "write python:MODULE:NAME"),
        ("python:routes.py:TASK", "there is no module 'routes.py'"),
        ("python:../routes:TASK", "write python:MODULE:NAME"),
        ("python:routs:TASK", "there is no module 'routs' in the current folder, nor an installed one"),
        ("python:routes:Task", "routes has no 'Task'; it has: CITIES, DRAW, LIFTED, Routes, TASK, TwoOpt, length"),
        ("python:routes:CITIES", "is a tuple and lacks name, objective"),
        ("python:routes:TwoOpt", "is a TwoOpt and lacks objective, space, brief"),
        ("python:routes:Routes", r"cannot be made without arguments: TypeError: .*missing 6 required"),
        ("python:broken:TASK", r"cannot be imported: NameError: name 'oops' is not defined \(broken.py, line 2\)"),
        ("python:wants:TASK", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("python:leaves:TASK", "cannot be imported: SystemExit: 3"),
    ],
)
def test_what_cannot_be_used_says_why(here, name, words):
    (here / "broken.py").write_text("x = 1\noops\n")
    (here / "wants.py").write_text("import no_such_package\n")
    (here / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(InputError, match=words):
        find(name)


def test_a_module_of_the_folder_comes_before_an_installed_one_and_never_replaces_one_that_is_loaded(here):
    (here / "antigravity.py").write_text("from routes import TASK\n")  # of the standard library, and not loaded
    assert find("python:antigravity:TASK").name == "routes"
    (here / "json.py").write_text("from routes import TASK\n")
    with pytest.raises(InputError, match="a module 'json' from elsewhere is loaded already"):
        find("python:json:TASK")
    assert sys.path[0] != str(here) and sys.path[-1] == str(here)


def test_an_installed_module_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert find("python:bilevel.tasks.sphere:sphere").name.startswith("sphere")
    assert make("python:bilevel.researchers.random:Random").name == "random"


def test_a_package_and_a_function_that_makes_a_task(here):
    (here / "pack").mkdir()
    (here / "pack" / "__init__.py").write_text("")
    (here / "pack" / "inner.py").write_text("import routes\n\ndef task():\n    return routes.TASK\n")
    assert find("python:pack.inner:task").name == "routes"
