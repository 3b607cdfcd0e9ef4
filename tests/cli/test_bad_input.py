"""Bad input: a clear message that names the thing and the way out, exit code 2, and nothing lost."""

import sqlite3

import pytest


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
