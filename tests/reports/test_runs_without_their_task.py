"""A run whose task's folder is gone: each command shows what the records hold, or refuses with the way out."""

import html
import json
import shutil
from pathlib import Path

import in_process
import pytest

from bilevel.dashboard.frame import document
from bilevel.dashboard.server import route
from bilevel.dashboard.shelf import Shelf
from bilevel.dashboard.views.home import home
from bilevel.notebook import Run
from bilevel.store.sqlite import SqliteStore
from bilevel.tasks.absent import Kept
from bilevel.tasks.catalog import find

TASKS = Path(__file__).parents[1] / "fixtures" / "tasks"
NOTE = "cannot be opened (its folder"
SHOWS = (
    ("status", "run"),
    ("status", "run", "--json"),
    ("status", "run", "--watch"),
    ("show", "run"),
    ("show", "run", "--trial", 2),
    ("show", "run", "--mechanism", "tabu"),
    ("best", "run"),
    ("best", "run", "--json"),
    ("export", "run", "--to", "csv", "--out", "-"),
    ("export", "run", "--to", "results.tsv", "--out", "-"),
)
NEEDS = (
    ("verify", "run"),
    ("replay", "run"),
    ("resume", "run"),
    ("steer", "guide", "run", "look at GUESS"),
    ("best", "run", "--sealed"),
    ("best", "run", "--apply", "there"),
    ("export", "run", "--git", "there"),
)
VIEWS = ("", "/trials", "/timeline", "/lineage", "/parameters", "/mechanisms", "/calls", "/costs", "/steering",
         "/claims", "/trial/2", "/mechanism")  # fmt: skip
QUERY = {"/mechanism": {"name": ["tabu"]}}


def ran(root, *args):
    return in_process.run(*args, cwd=root)


@pytest.fixture(scope="module")
def gone(tmp_path_factory):
    """A run, its outputs while its task was there, and the task's folder under another name."""
    root = tmp_path_factory.mktemp("gone")
    task = Path(shutil.copytree(TASKS / "scored", root / "scored"))
    recipe = root / "recipe.toml"
    recipe.write_text(
        'name = "r"\ntitle = "A search"\n[inner]\nresearcher = "random"\ntrials = 6\nmechanisms = ["tabu"]\n'
    )
    done = ran(root, "run", recipe, "--task", task, "--folder", "run")
    assert done.returncode == 0, done.stderr
    assert ran(root, "report", "run", "--no-plots").returncode == 0
    before = {args: ran(root, *args).stdout for args in SHOWS}
    report = (root / "run" / "report.md").read_text()
    task.rename(root / "elsewhere")
    return root, before, report


@pytest.mark.parametrize("args", SHOWS, ids=lambda args: " ".join(map(str, args)))
def test_what_the_records_hold_is_shown_as_before_with_a_note(gone, args):
    root, before, _ = gone
    done = ran(root, *args)
    assert done.returncode == 0, done.stderr
    assert NOTE in done.stderr and str(root / "scored") in done.stderr and "back in its place" in done.stderr
    if args[-1] == "--json" and args[0] == "status":
        old, new = json.loads(before[args]), json.loads(done.stdout)
        assert old.pop("gone") == "" and NOTE in new.pop("gone") and new == old
    else:
        assert done.stdout == before[args] != ""


@pytest.mark.parametrize("args", NEEDS, ids=lambda args: " ".join(map(str, args)))
def test_what_needs_the_task_is_refused_with_the_way_out(gone, args):
    root, *_ = gone
    done = ran(root, *args)
    assert done.returncode == 2 and not (root / "there").exists()
    assert f"'{root / 'scored'}'" in done.stderr and "back" in done.stderr and "Traceback" not in done.stderr


def test_a_report_says_what_it_leaves_out_and_verify_is_content_once_the_task_is_back(gone):
    root, _, before = gone
    done = ran(root, "report", "run", "--no-plots")
    assert done.returncode == 0 and NOTE in done.stderr
    text = (root / "run" / "report.md").read_text()
    kept = [line for line in before.splitlines() if line not in text and not line.startswith(("---", "+++", "@@"))]
    assert NOTE in text and NOTE not in before and "patch" in before
    assert not [line for line in kept if "GUESS: " in line or "best seen" in line or "baseline" in line]
    (root / "scored").symlink_to(root / "elsewhere")
    try:
        assert ran(root, "report", "run", "--no-plots").returncode == 0
        assert (root / "run" / "report.md").read_text() == before
        back = ran(root, "verify", "run")
        assert back.returncode == 0 and NOTE not in ran(root, "status", "run").stderr, back.stdout
    finally:
        (root / "scored").unlink()


def test_each_page_of_the_dashboard_shows_it_with_the_note(gone):
    root, *_ = gone
    shelf = Shelf([root / "run"])
    run = shelf.opened("run")
    assert run is not None and run.summary(30).summary is not None
    for view in VIEWS:
        page = route(shelf, f"/run/run{view}", QUERY.get(view, {}))
        assert page.status == 200 and html.escape(NOTE) in document(page, "1").replace("&#x27;", "'"), view
    assert "scored" in home(shelf).body and "not readable" not in home(shelf).body


def test_a_notebook_opens_it(gone):
    root, before, _ = gone
    with Run.open(root / "run") as run:
        assert len(run.trace) == 7 and run.summary.best == json.loads(before["best", "run", "--json"])["score"]


def test_a_run_that_keeps_nothing_of_its_task_says_so(gone, tmp_path):
    root, *_ = gone
    shutil.copytree(root / "run", tmp_path / "old")
    store = SqliteStore(tmp_path / "old")
    store.put_meta("task", "null")
    store.close()
    done = ran(tmp_path, "status", "old")
    assert done.returncode == 2 and "kept nothing of the task" in done.stderr and str(root / "scored") in done.stderr


@pytest.mark.parametrize("name", ["gpt", "gpt-table", "sphere", "page", "landscape:trap"])
def test_what_is_kept_of_a_task_says_what_the_task_says(name):
    task = find(name)
    kept = Kept.from_data(json.loads(json.dumps(Kept.of(task).data)))
    assert (kept.name, kept.objective, kept.self_reported) == (task.name, task.objective, task.self_reported)
    assert dict(kept.space.domains) == dict(task.space.domains) and list(kept.space.domains) == list(task.space.domains)
    assert kept.rungs == tuple(rung.name for rung in task.rungs) and kept.evaluations == task.evaluations
