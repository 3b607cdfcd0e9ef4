"""Tasks over texts, driven from outside and exported as a git repository."""

import json
import subprocess

import pytest

TEXT = """# Caching

In order to keep answers, the server utilizes a cache with 64 entries, and see [the page](a.md) for it.

It is important to note that the cache is emptied at night.
"""
MODEL = ("--model", "compatible:test")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "caching.md"
    path.write_text(TEXT)
    return path


def told(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_caller_proposes_texts_that_rules_measure(bilevel, tmp_path):
    new = ("--recipe", "a", "--researcher", "external", "--trials", 2)
    asked = told(bilevel("suggest", "--task", "page", *new, "--folder", "r", "--into", "e", "--json"))
    assert asked["editable"] == ["caching.md"] and "--files FOLDER" in asked["answer"]
    edited = tmp_path / "e" / "caching.md"
    page = edited.read_text()
    assert page.startswith("# The response cache")
    edited.write_text(page.replace("In order to", "To").replace("in the event that", "where"))
    done = told(bilevel("propose", "r", "--trial", asked["id"], "--files", "e", "--why", "plain words", "--json"))
    (trial,) = done["finished"]
    assert trial["keep"] and trial["files_changed"] == ["caching.md"]
    edited.unlink()
    refused = bilevel("propose", "r", "--trial", done["next"]["id"], "--files", "e")
    assert refused.returncode == 2 and "caching.md" in refused.stderr
    edited.write_text(page.replace("340 ms", "a while"))
    (trial,) = told(bilevel("propose", "r", "--trial", done["next"]["id"], "--files", "e", "--json"))["finished"]
    assert trial["status"] == "guardrail" and "facts_lost" in trial["reason"]


def test_a_caller_judges_articles_that_a_model_revises_and_guardrails_hold(bilevel, serve, file, tmp_path):
    serve()
    args = ("--recipe", "article", "--task", f"article:{file}", *MODEL, "--trials", 1, "--folder", "r", "--json")
    asked = told(bilevel("suggest", *args))
    while asked["trial"] == 0:
        asked = told(bilevel("record", "r", "--trial", asked["id"], "--metric", "score=5", "--json"))["next"]
    assert "therefore" in asked["files"]["caching.md"]
    assert bilevel("suggest", "r", "--into", "shown").returncode == 0
    assert (tmp_path / "shown" / "caching.md").read_text() == asked["files"]["caching.md"]
    while asked["state"] == "measure":
        done = told(bilevel("record", "r", "--trial", asked["id"], "--metric", "score=7", "--json"))
        asked = done["next"]
    trial = told(bilevel("show", "r", "--trial", 1, "--json"))
    assert trial["decision"]["keep"] and trial["runs"][0]["metrics"]["facts_lost"] == 0
    assert "therefore" in bilevel("diff", "r").stdout


def test_a_task_without_a_named_researcher_is_searched_by_the_one_for_its_texts(bilevel, file):
    asked = told(bilevel("suggest", "--task", f"page:file={file}", "--recipe", "a", "--folder", "r", "--json"))
    told(bilevel("status", asked["run"], "--json"))
    assert told(bilevel("status", "r", "--json"))["researcher"] == "page_rules"


def test_a_run_over_texts_is_exported_as_commits(bilevel, tmp_path):
    run = bilevel("run", "page", "--trials", 3, "--folder", "r")
    assert run.returncode == 0, run.stderr
    done = told(bilevel("export", "r", "--git", "log", "--json"))
    assert done["tries"] >= 1
    best = (tmp_path / "out", "caching.md")
    assert bilevel("best", "r", "--apply", best[0]).returncode == 0
    git = ("git", "-C", tmp_path / "log")
    shown = subprocess.run([*git, "show", "refs/bilevel/best:caching.md"], capture_output=True, text=True, check=True)
    assert shown.stdout == (best[0] / best[1]).read_text()
    first = subprocess.run([*git, "show", f"{done['base']}:caching.md"], capture_output=True, text=True, check=True)
    assert first.stdout.startswith("# The response cache") and first.stdout != shown.stdout
    table = (tmp_path / "log" / "results.tsv").read_text().splitlines()
    assert table[0].startswith("commit\tclarity") and len(table) > 2
    again = told(bilevel("export", "r", "--git", "log", "--json"))
    assert again["new"] == 0 and again["tip"] == done["tip"]


def test_a_task_without_files_says_the_way_out(bilevel):
    assert bilevel("run", "a", "--task", "sphere", "--trials", 1, "--folder", "s").returncode == 0
    done = bilevel("export", "s", "--git", "log")
    assert done.returncode == 2 and "has no files" in done.stderr and "--tsv" in done.stderr
