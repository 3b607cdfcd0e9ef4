"""A comparison whose task's folder is gone: what only looks shows the records, what needs the task is refused, and no
file that was written before changes."""

import html
import json
import shutil
from pathlib import Path

import in_process
import pytest

from bilevel.dashboard.shelf import Shelf
from bilevel.dashboard.views.home import home, together

TASKS = Path(__file__).parents[1] / "fixtures" / "tasks"
SAID = "the task of this comparison cannot be opened (its folder"
WRITTEN = ("result.json", "claims.json", "report.md", "report.html")
NEEDS = (
    ("compare", "--folder", "half"),
    ("compare", "--folder", "half", "--workers", 2),
    ("compare", "--folder", "it", "--plan"),
    ("compare", "--folder", "it", "--on", "finished=true"),
    ("verify", "it"),
    ("verify", "it/report.md"),
)
KNOWN = (
    "import random\n"
    "from bilevel.objective import Objective\nfrom bilevel.space import Candidate, Float, Space\n"
    "from bilevel.tasks.function import FunctionTask\nfrom bilevel.tasks.sphere import Optimum\n"
    "def loss(params, seed):\n    return params['x'] + random.Random(seed).gauss(0, 0.01)\n"
    "class Known(FunctionTask):\n    def optimum(self):\n        return Optimum({'x': 0.0}, 0.0)\n"
    "space, start = Space({'x': Float(0.0, 1.0)}), Candidate({'x': 0.9})\n"
    "task = Known('known', loss, space, start, Objective('loss'), 'Make x small.')\n"
)


def ran(root, *args):
    return in_process.run(*args, cwd=root, env={"COLUMNS": "160"})


def files(folder):
    """What a comparison's folder holds; of stores and locks only that they are there."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.suffix in (".json", ".md", ".html") else b""
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


@pytest.fixture(scope="module")
def gone(tmp_path_factory):
    """A finished comparison and one that lacks a run and its page, what was printed while their task was there, and the
    task's folder under another name."""
    root = tmp_path_factory.mktemp("gone")
    shutil.copytree(TASKS / "scored", root / "own")
    size = ("--replicates", 1, "--budget", 3, "--recheck", 1)
    done = ran(root, "compare", "--arms", "a,random", "--task", "own", *size, "--folder", "it")
    assert done.returncode == 0, done.stderr
    before = {name: ran(root, *args).stdout for name, args in {
        "compare": ("compare", "--folder", "it"), "status": ("status", "it"), "json": ("status", "it", "--json"),
    }.items()}  # fmt: skip
    shutil.copytree(root / "it", root / "half")
    shutil.rmtree(root / "half" / "replicate-01" / "random")
    (root / "half" / "report.html").unlink()
    (root / "own").rename(root / "elsewhere")
    return root, before


def test_a_finished_comparison_is_printed_from_its_records_and_says_that_its_task_is_gone(gone):
    root, before = gone
    there = files(root / "it")
    done = ran(root, "compare", "--folder", "it")
    assert done.returncode == 0 and not done.stderr
    lost = [line for line in before["compare"].splitlines() if line not in done.stdout.splitlines()]
    more = [line for line in done.stdout.splitlines() if line not in before["compare"].splitlines()]
    assert [line.split(":")[0] for line in lost] == ["result"]
    assert [SAID in line for line in more] == [True, True, False] and "left as they were" in more[-1]
    assert all("back in its place" in line and f"'{root / 'own'}'" in line for line in more[:2])
    assert files(root / "it") == there


def test_its_result_for_programs_is_the_one_of_before_but_for_patches(gone):
    root, _ = gone
    done = ran(root, "compare", "--folder", "it", "--json")
    found, written = json.loads(done.stdout), json.loads((root / "it" / "result.json").read_text())
    assert SAID in found["notes"].pop() and any("patch" in one for one in written["best"])
    for one in written["best"]:
        one.pop("patch", None)
    assert found == written and written["sealed"], "scores that no search saw among it"


def test_status_says_where_each_run_of_a_comparison_stands(gone):
    root, before = gone
    done, data = ran(root, "status", "it"), json.loads(ran(root, "status", "it", "--json").stdout)
    more = [line for line in done.stdout.splitlines() if line not in before["status"].splitlines()]
    assert done.returncode == 0 and len(more) == 1 and SAID in more[0]
    assert "2 of 2 runs have a number" in before["status"] and "random, replicate 1: " in before["status"]
    old = json.loads(before["json"])
    assert SAID in data.pop("gone") and old.pop("gone") == "" and data == old and data["done"] == data["of"] == 2
    half = ran(root, "status", "half")
    assert "random, replicate 1: no number: it has not begun" in half.stdout and "1 of 2 runs" in half.stdout
    assert "`bilevel compare --folder half` goes on" in half.stdout


def test_a_report_leaves_what_was_written_and_elsewhere_gives_what_the_records_do(gone):
    root, _ = gone
    there = files(root / "it")
    done = ran(root, "report", "it", "--no-plots")
    assert done.returncode == 0 and done.stdout == "" and done.stderr.startswith(f"note: {SAID}")
    assert all(str(Path("it") / name) in done.stderr.splitlines()[-1] for name in WRITTEN) and "--to" in done.stderr
    assert files(root / "it") == there
    assert ran(root, "report", "it", "--no-plots", "--to", "paper").returncode == 0
    before, after = (root / "it" / "report.md").read_text(), (root / "paper" / "report.md").read_text()
    more = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(more) == 1 and SAID in more[0]
    assert before.startswith("\n".join(line for line in after.splitlines() if line not in more)), "then come patches"
    assert SAID in (root / "paper" / "report.html").read_text().replace("&#x27;", "'")


def test_a_file_that_is_missing_is_written_from_the_records(gone, tmp_path):
    root, _ = gone
    shutil.copytree(root / "half", tmp_path / "half")
    there = files(tmp_path / "half")
    done = ran(tmp_path, "report", "half", "--no-plots")
    assert done.stdout.split() == ["wrote", "half/report.html"] and "half/report.md" in done.stderr
    page = (tmp_path / "half" / "report.html").read_text()
    assert "it has not begun" in page and SAID in page.replace("&#x27;", "'")
    assert {name: data for name, data in files(tmp_path / "half").items() if name != "report.html"} == there


@pytest.mark.parametrize("args", NEEDS, ids=lambda args: " ".join(map(str, args)))
def test_what_needs_the_task_is_refused_with_the_way_out_and_changes_nothing(gone, args):
    root, _ = gone
    there = files(root)
    done = ran(root, *args)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "No number" not in done.stdout
    assert SAID in done.stderr and "back in its place" in done.stderr and "bilevel status" in done.stderr
    assert files(root) == there


def test_asking_for_it_by_its_options_says_how_to_look_at_it(gone):
    root, _ = gone
    done = ran(root, "compare", "--arms", "a,random", "--task", "own", "--folder", "it")
    assert done.returncode == 2 and "no task 'own'" in done.stderr and "--folder and no other option" in done.stderr


def test_a_comparison_of_which_nothing_is_left_but_its_plan_says_what_it_lacks(gone, tmp_path):
    root, _ = gone
    (tmp_path / "bare").mkdir()
    shutil.copy(root / "it" / "plan.json", tmp_path / "bare")
    done = ran(tmp_path, "report", "bare", "--no-plots")
    assert done.returncode == 2 and "no run of it keeps what it is judged by" in done.stderr
    assert "back in its place" in done.stderr and list(files(tmp_path / "bare")) == ["plan.json"]


def test_the_dashboard_says_it_once_for_all_runs_and_names_what_writes_a_report(gone):
    root, _ = gone
    shelf = Shelf([root / "it", root / "half"])
    page = html.unescape(home(shelf).body)
    assert page.count(f"The task of these runs cannot be opened (its folder '{root / 'own'}' is not there)") == 2
    assert 'href="/comparison/it"' in page and 'href="/comparison/half"' not in page
    assert f"no report yet: <code>bilevel report {root / 'half'}</code> writes one" in page
    assert list(shelf.entries) == ["replicate-01~a", "replicate-01~random", "half~replicate-01~a"]
    assert "The task of these runs cannot be opened" in together(shelf, list(shelf.entries)).body


def test_what_shows_one_run_names_the_runs_of_a_comparison(gone):
    root, _ = gone
    for command in ("show", "best", "resume"):
        done = ran(root, command, "it")
        assert done.returncode == 2 and "name one of those below it: 'it/replicate-01/a'" in done.stderr
    assert SAID.partition(" of ")[0] in ran(root, "show", "it/replicate-01/a").stderr


def test_with_the_task_back_it_is_verified_and_the_other_one_is_finished(gone, tmp_path):
    root, _ = gone
    for name in ("it", "half"):
        shutil.copytree(root / name, tmp_path / name)
    (root / "own").symlink_to(root / "elsewhere")
    try:
        found = ran(tmp_path, "verify", "it")
        assert found.returncode == 0, found.stdout
        done = ran(tmp_path, "compare", "--folder", "half")
        assert done.returncode == 0 and SAID not in done.stdout, done.stderr
        assert "2 of 2 runs" in ran(tmp_path, "status", "half").stdout and (tmp_path / "half" / "report.html").is_file()
    finally:
        (root / "own").unlink()


def test_regret_and_scores_over_tasks_stay_where_a_task_that_is_gone_knew_its_optimum(tmp_path):
    (tmp_path / "known.py").write_text(KNOWN)
    size = ("--replicates", 2, "--budget", 4, "--folder", "it")
    done = ran(tmp_path, "compare", "--arms", "a,random", "--task", "python:known:task,sphere", *size)
    assert done.returncode == 0, done.stderr
    before = json.loads((tmp_path / "it" / "result.json").read_text())
    assert all(arm["regret"]["value"] is not None for task in before["tasks"] for arm in task["arms"])
    (tmp_path / "known.py").unlink()
    after = json.loads(ran(tmp_path, "compare", "--folder", "it", "--json").stdout)
    note = after["notes"].pop()
    assert "1 of the 2 tasks of this comparison cannot be opened" in note and "regret" not in note
    assert after == before
