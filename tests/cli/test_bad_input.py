"""Bad input: a clear message that names the thing and the way out, exit code 2, and nothing lost."""

import sqlite3
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "fixtures" / "tasks" / "tiny"


def refused(done, *words):
    assert done.returncode == 2, (done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def recipe_file(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ntitle = "a test"\n' + text)
    return path


def test_an_unknown_recipe_lists_the_shipped_ones(bilevel):
    refused(bilevel("run", "z"), "'z'", "placebo", ".toml")


def test_a_process_of_its_own_says_the_same_and_ends_with_the_same_code(bilevel, process):
    here, there = bilevel("run", "z"), process("run", "z")
    assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)
    refused(there, "'z'")


def test_an_unknown_task_lists_the_shipped_ones(bilevel):
    refused(bilevel("run", "a", "--task", "nothing"), "nothing", "sphere", "gpt-table")


def test_an_unknown_researcher_lists_the_shipped_ones(bilevel):
    refused(bilevel("run", "a", "--researcher", "nobody"), "nobody", "coordinate")


def test_an_unknown_rung_lists_those_of_the_task(bilevel):
    refused(bilevel("run", "a", "--rung", "9s"), "9s", "full")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1\n", ["colour"]),
        ("[inner]\ntrials = 'many'\n", ["inner.trials"]),
        ("[inner]\ntrials = 0\n", ["inner.trials"]),
        ("[inner.settings]\ndrafts = 99\nwhat = 1\n", ["inner.settings.drafts", "inner.settings.what"]),
        ("[inner.settings]\nfrozen = ['no_such']\n", ["no_such"]),
        ("[[outer]]\nlevel = 'mechanism'\nresearcher = 'library'\n", ["outer.0.level"]),
        ("[inner]\nmechanisms = ['hope']\n", ["hope", "tabu"]),
        ("[inner\n", ["TOML"]),
    ],
)
def test_a_recipe_with_mistakes_names_each_of_them(bilevel, tmp_path, text, words):
    refused(bilevel("run", recipe_file(tmp_path, text)), *words)
    assert not (tmp_path / "runs").exists()


def test_a_key_that_is_not_there_is_answered_with_one_that_is(bilevel, tmp_path):
    path = recipe_file(tmp_path, "[inner]\ntrails = 3\n")
    refused(bilevel("run", path), "inner.trails: is not a key that this program reads; did you mean 'trials'?")
    (tmp_path / "mine.toml").write_text('name = "mine"\n')
    refused(bilevel("run", "mine.toml"), "title: is missing")


def test_ctrl_c_while_the_program_starts_is_no_traceback(bilevel, monkeypatch):
    def press():
        raise KeyboardInterrupt

    assert bilevel("--version").returncode == 0
    monkeypatch.setattr("bilevel.cli.program.app", press)
    done = bilevel("doctor")
    assert done.returncode == 130 and done.stderr == ""


def test_budgets_of_levels_that_a_recipe_does_not_have_are_refused(bilevel):
    refused(bilevel("run", "a", "--outer-cycles", "3"), "--trials")


def test_a_folder_in_use_is_not_overwritten(bilevel, tmp_path):
    assert bilevel("run", "a", "--trials", "3", "--folder", "run").returncode == 0
    again = bilevel("run", "a", "--trials", "3", "--folder", "run")
    assert again.returncode != 0 and "run" in again.stderr and "Traceback" not in again.stderr
    assert bilevel("status", "run").returncode == 0


def test_a_run_folder_from_a_newer_version_is_left_alone(bilevel, tmp_path):
    assert bilevel("run", "a", "--trials", "3", "--folder", "run").returncode == 0
    with sqlite3.connect(tmp_path / "run" / "run.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    for command in ("resume", "status"):
        done = bilevel(command, "run")
        assert done.returncode == 1 and "newer" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_is_no_run_folder_is_said_so(bilevel, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        done = bilevel("resume", folder)
        assert done.returncode in (1, 2) and folder in done.stderr and "Traceback" not in done.stderr


def test_an_option_of_zero_is_refused_and_not_ignored(bilevel):
    refused(bilevel("run", "a", "--trials", "0"), "inner.trials")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[inner]\nresearcher = 'settings_rules'\n", ["settings_rules", "level 1", "coordinate"]),
        ("[inner]\nresearcher = 'library'\n", ["library", "level 1"]),
        ("[inner]\nresearcher = 'scripted'\n", ["scripted", "level 1"]),
        ("[[outer]]\nlevel = 'mechanisms'\nresearcher = 'coordinate'\n", ["coordinate", "level 2", "library"]),
        ("[[outer]]\nlevel = 'settings'\nresearcher = 'library'\n", ["library", "level 1.5", "settings_rules"]),
        ("[[outer]]\nlevel = 'mechanisms'\nresearcher = 'library:hope'\n", ["library:hope", "library:only:NAME"]),
        ("[[outer]]\nlevel = 'mechanisms'\nresearcher = 'library:only:hope'\n", ["library:only:hope", "tabu"]),
        ("[inner]\nmechanisms = ['missing.py']\n", ["missing.py"]),
        ("[[outer]]\nlevel = 'settings'\nresearcher = 'settings_rules'\n" * 2, ["two levels", "settings"]),
    ],
)
def test_what_cannot_work_together_is_refused_before_the_run(bilevel, tmp_path, text, words):
    refused(bilevel("run", recipe_file(tmp_path, text)), *words)
    assert not (tmp_path / "runs").exists()


def test_a_recipe_that_is_no_text_is_refused(bilevel, tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    refused(bilevel("run", "mine.toml"), "mine.toml")


def test_check_names_the_keys_of_a_recipe_that_nothing_reads(bilevel, tmp_path):
    settings = "[[outer]]\nlevel = 'settings'\nresearcher = 'settings_rules'\ncycles = 3\nmost_mechanisms = 2\n"
    mechanisms = "[[outer]]\nlevel = 'mechanisms'\nresearcher = 'library'\nleast_active = 1\n"
    path = recipe_file(tmp_path, f"[inner]\ntrials = 9\n{settings}{mechanisms}")
    done = bilevel("check", path)
    assert done.returncode == 4
    for key in ("inner.trials", "outer.0.cycles", "outer.0.most_mechanisms", "outer.1.least_active"):
        assert f"- {key}: " in done.stdout
    assert len(done.stdout.splitlines()) == 4


def test_no_shipped_recipe_has_keys_that_nothing_reads(bilevel):
    for name in ("a", "b", "c", "d", "default", "placebo", "shuffle", "static"):
        assert bilevel("check", name).returncode == 0


def test_names_with_brackets_and_spaces_are_only_names(bilevel, tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\ntitle = "levels [/b] of [red]"\n[inner]\ntrials = 2\n')
    folder = "a [/b] näme"
    done = bilevel("run", "mine.toml", "--folder", folder)
    assert done.returncode == 0, done.stderr
    assert "levels [/b] of [red]" in done.stdout
    for command in ("status", "show", "diff", "best", "resume"):
        done = bilevel(command, folder)
        assert done.returncode == 0, done.stderr


def test_a_branch_is_named_after_a_folder_that_git_would_not_take(bilevel):
    assert bilevel("run", "a", "--task", TINY, "--trials", "1", "--folder", "a run..2").returncode == 0
    done = bilevel("export", "a run..2")
    assert "branch autoresearch/a-run-2 with" in done.stdout and "git -C 'a run..2/git' log" in done.stdout, done.stderr


def test_a_place_that_cannot_be_written_is_said_so(bilevel, tmp_path):
    assert bilevel("run", "a", "--task", TINY, "--trials", "2", "--folder", "run").returncode == 0
    (tmp_path / "file").write_text("mine")
    refused(bilevel("best", "run", "--apply", "file"), "file", "cannot be written")
    refused(bilevel("best", "run", "--export", "."), "cannot be written")
    assert (tmp_path / "file").read_text() == "mine"


def test_brackets_in_a_title_are_text(bilevel, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ntitle = "a [b]test[/c]"\ntask = "sphere"\n[inner]\ntrials = 2\n')
    done = bilevel("run", path)
    assert done.returncode == 0 and "a [b]test[/c]" in done.stdout, done.stderr


def test_a_recipe_name_that_is_no_file_name_is_refused(bilevel, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "a/[b]"\ntitle = "x"\n')
    refused(bilevel("run", path), "name")
