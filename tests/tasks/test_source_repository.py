"""A task over somebody's repository, used where it stands: which files are taken, and that it is only read."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import bilevel.tasks.cache
from bilevel import recipe
from bilevel.errors import Diverged, InputError
from bilevel.execution.workspace import snapshot, tree_hash
from bilevel.guardrails import BUILT_IN
from bilevel.overriding import override
from bilevel.run import resume, start
from bilevel.space import Candidate
from bilevel.tasks.catalog import find
from bilevel.tasks.model import read_model


def git(repository, *arguments):
    settings = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    subprocess.run(["git", *settings, *arguments], cwd=repository, check=True, capture_output=True)


@pytest.fixture
def tracked(repository):
    """The repository under git, with a file that git ignores, one that is not tracked yet, and caches."""
    for path, text in {
        ".gitignore": "data/\nsecret.txt\n", "data/big.bin": "ignored", "secret.txt": "ignored", "notes.md": "new",
        ".venv/lib/x.py": "never", "__pycache__/x.pyc": "never",
    }.items():  # fmt: skip
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    git(repository, "init", "-q")
    git(repository, "add", "train.py", ".gitignore", "src", "-f", "__pycache__/x.pyc")
    git(repository, "commit", "-qm", "first")
    return repository


def test_git_says_which_files_belong_to_the_source_and_caches_never_do(tracked, described, run):
    task = find(described())
    assert set(snapshot(task.source.start)) == {".gitignore", "notes.md", "train.py", "src/mine/__init__.py"}
    measured = run(task)
    assert measured.metrics == {"loss": 0.5}
    source = measured.data["source"]
    assert source["files"] == 4 and len(source["tree"]) == 16 and len(source["commit"]) == 12


def test_a_removed_file_is_gone_and_a_submodule_is_part_of_the_tree(tracked, described, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "part.py").write_text("")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "part")
    git(tracked, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "parts")
    git(tracked, "init", "-q", "scratch")  # a repository that nobody added
    (tracked / "scratch/x.py").write_text("")
    (tracked / "notes.md").unlink()
    git(tracked, "rm", "-q", "--cached", ".gitignore")
    (tracked / ".gitignore").unlink()
    (tracked / "data/big.bin").unlink()
    (tracked / "secret.txt").unlink()
    assert set(snapshot(find(described()).source.start)) == {
        ".gitmodules", "parts/part.py", "train.py", "src/mine/__init__.py",
    }  # fmt: skip


def test_nothing_in_the_repositorys_settings_runs_a_program(tracked, described, tmp_path):
    program = tmp_path / "spy.sh"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    git(tracked, "config", "core.fsmonitor", str(program))
    git(tracked, "config", "core.hooksPath", str(tmp_path))
    find(described())
    assert not (tmp_path / "ran").exists()


def test_a_repository_that_git_cannot_read_is_an_error_not_another_tree(tracked, described):
    (tracked / ".git/HEAD").write_text("nonsense")
    with pytest.raises(InputError, match="git cannot read"):
        find(described())


def test_without_git_all_files_are_taken_but_for_caches_environments_and_runs(repository, described):
    for path in (".venv/x.py", "env/pyvenv.cfg", "env/x.py", "a/.mypy_cache/x", "runs/1/run.sqlite3", "runs/1/x.json"):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text("")
    assert set(snapshot(find(described()).source.start)) == {"train.py", "src/mine/__init__.py"}


def test_include_and_exclude_choose_among_them(repository, described):
    (repository / "docs").mkdir()
    (repository / "docs/a.md").write_text("")
    (repository / "b.md").write_text("")
    task = find(
        described('[source]\npath = "../repository"\ninclude = ["**/*.py", "docs/**"]\nexclude = ["**/mine/**"]')
    )
    assert set(snapshot(task.source.start)) == {"train.py", "docs/a.md"}


def test_the_repository_is_only_read(tracked, described, run):
    before = tree_hash(tracked, ignore=())
    task = find(described())
    run(task, Candidate({"RATE": 0.25}, {"src/mine/__init__.py": "FACTOR = 2\n"}))
    assert tree_hash(tracked, ignore=()) == before


def test_a_process_goes_on_with_the_tree_it_opened_and_the_next_one_has_another_harness(repository, described, run):
    folder = described()
    task = find(folder)
    (repository / "train.py").write_text("RATE = 0.5\nprint('loss: 7')\n")
    assert run(task).metrics == {"loss": 0.5}
    again = find(folder)
    assert run(again).metrics == {"loss": 7.0}
    assert again.harness != task.harness
    (repository / "train.py").write_text((task.source.start / "train.py").read_text())
    assert find(folder).harness == task.harness


def test_a_resume_with_another_tree_is_refused(repository, described, tmp_path):
    chosen = override(recipe.find("random"), task=str(described()), trials=1)
    with start(chosen, tmp_path / "run") as session:
        session.execute()
    with resume(tmp_path / "run"):
        pass
    (repository / "src/mine/__init__.py").write_text("FACTOR = 3\n")
    with pytest.raises(Diverged, match="has changed since"):
        resume(tmp_path / "run")


def test_a_task_in_the_repository_is_not_part_of_it(repository, described, run):
    inside = repository / "tuning"
    described().rename(inside)
    text = (inside / "task.toml").read_text().replace('"../repository"', '".."')
    (inside / "task.toml").write_text(text)
    assert set(snapshot(find(inside).source.start)) == {"train.py", "src/mine/__init__.py"}
    for name in ("task.toml", "brief.md"):
        (inside / name).rename(repository / name)
    (repository / "task.toml").write_text(text.replace('".."', '"."'))
    task = find(repository)
    assert set(snapshot(task.source.start)) == {"train.py", "src/mine/__init__.py"}
    assert run(task).metrics == {"loss": 0.5}


def test_a_cache_inside_the_repository_is_not_part_of_it(repository, described, monkeypatch):
    monkeypatch.setenv("BILEVEL_CACHE_DIR", str(repository / "cache"))
    folder = described()
    assert find(folder).harness == find(folder).harness


def test_a_link_to_a_file_of_the_tree_becomes_a_copy_and_the_mode_is_kept(repository, described):
    (repository / "CLAUDE.md").symlink_to("train.py")
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    start = find(described()).source.start
    assert (start / "CLAUDE.md").read_text() == (repository / "train.py").read_text()
    assert not (start / "CLAUDE.md").is_symlink()
    assert os.access(start / "run.sh", os.X_OK)


def make_links(repository):
    (repository / "out").symlink_to("/etc/hosts")
    (repository / "folder").symlink_to("src")
    (repository / "broken").symlink_to("nowhere")
    os.mkfifo(repository / "pipe")
    (repository / "large.bin").write_bytes(b"x" * (17 << 20))


def test_what_cannot_be_taken_is_told_at_once_with_the_way_out(repository, described):
    make_links(repository)
    with pytest.raises(InputError) as caught:
        find(described())
    for words in ("out: is a link to something", "folder: is a link to a folder", "broken: is a link to nothing",
                  "pipe: is a special file", "large.bin: has 17 MiB", "source.exclude", "read_paths"):  # fmt: skip
        assert words in str(caught.value)
    names = '["out", "folder", "broken", "pipe", "large.bin"]'
    task = find(described(f'[source]\npath = "../repository"\nexclude = {names}', name="other"))
    assert set(snapshot(task.source.start)) == {"train.py", "src/mine/__init__.py"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('path = "../nowhere"', "there is no folder"),
        ('path = "../repository"\ninclude = ["*.c"]', "no file is left"),
        ('path = "../repository"\ntree_bytes = 5', "source.tree_bytes"),
        ('path = "../repository"\nfiles = 5', "source.files: is not a key"),
    ],
)
def test_a_source_that_cannot_be_is_an_input_error(repository, described, source, words):
    with pytest.raises(InputError, match=words):
        find(described(f"[source]\n{source}"))


def test_old_states_do_not_pile_up_in_the_cache(repository, described, cache):
    folder = described()
    for number in range(8):
        (repository / "state.txt").write_text(str(number))
        find(folder)
    for handle in bilevel.tasks.cache._held.values():  # as if those processes had ended
        os.close(handle)
    bilevel.tasks.cache._held.clear()
    (repository / "state.txt").write_text("last")
    find(folder)
    assert len([path for path in (cache / "mine" / "sources").iterdir() if path.is_dir()]) == 5


def test_a_copy_that_somebody_changed_is_made_again(repository, described, run):
    folder = described()
    task = find(folder)
    (task.source.start / "train.py").write_text("print('loss: 99')\n")
    assert run(find(folder)).metrics == {"loss": 0.5}


def test_the_examples_of_the_guide_are_tasks(tmp_path):
    guide = (Path(__file__).parents[2] / "docs/tasks.md").read_text("utf-8")
    blocks = [block.removeprefix("toml\n") for block in guide.split("```") if block.startswith("toml\n")]
    whole = [block for block in blocks if block.startswith("name = ")]
    (part,) = (block for block in blocks if block not in whole)  # guardrails, which a task may have
    names = [name for name in re.findall(r'^metric = "(\w+)"', part, re.M) if name not in BUILT_IN]
    read = "".join(f'\n[metrics.{name}]\nread = "line"\n' for name in names)
    for number, block in enumerate([*whole, f"{whole[0]}\n{read}\n{part}"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "task.toml").write_text(block)
        model = read_model(folder)
        assert model.rungs and len(model.guardrails) == part.count("[[guardrails]]") * (number == len(whole))
    assert len(whole) == 2
