"""What other tools leave behind: a table of results, and an evaluator with its program."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked")

TABLE = """commit\tval_bpb\tmemory_gb\tstatus\tdescription
a1b2c3d\t0.997900\t44.0\tkeep\tbaseline
b2c3d4e\t0.993200\t44.2\tkeep\tincrease LR to 0.04
c3d4e5f\t1.005000\t44.0\tdiscard\tswitch to GeLU activation
d4e5f6g\t0.000000\t0.0\tcrash\tdouble model width (OOM)
"""


def test_a_table_becomes_a_summary_in_which_a_crash_has_no_score(said):
    Path("results.tsv").write_text(TABLE)
    done = said("import", "results.tsv")
    assert done.code == 0 and done.err == ""
    assert "4 tries of an earlier search; val_bpb, lower is better. 2 were kept, 1 discarded, 1 crashed" in done.out
    assert "Best: 0.9932 (increase LR to 0.04); first: 0.9979 (baseline)" in done.out
    assert "- increase LR to 0.04: 0.9932, gain +0.0047" in done.out
    assert "- switch to GeLU activation: 1.005, gain -0.0118" in done.out
    assert done.out.count("double model width (OOM)") == 1 and "0.000000" not in done.out


def test_lines_that_cannot_be_read_are_named_and_none_is_dropped_silently(said):
    bad = "x\tnan\t1\tkeep\tone\nx\thigh\t1\tkeep\ttwo\nx\t1\t1\tmaybe\tthree\nx\t1\tkeep\tfour\n"
    Path("results.tsv").write_text(TABLE + bad)
    done = said("import", "results.tsv")
    for line, reason in ((6, "not a finite number"), (7, "not a number"), (8, "'maybe'"), (9, "4 columns")):
        assert f"line {line}:" in done.err and f"line {line}:" in done.out and reason in done.err
    assert done.code == 0 and "Lines that could not be read" in done.out


def test_a_summary_is_told_to_the_researcher_of_a_task(said, told, tiny):
    Path("results.tsv").write_text(TABLE)
    assert said("import", "results.tsv", "--into", "tiny").code == 0
    asked = told("suggest", "--task", "tiny", "--recipe", "a", "--researcher", "external", "--folder", "run")
    assert "increase LR to 0.04" in asked["guidance"][0]
    again = said("import", "results.tsv", "--into", "tiny")
    assert again.code == 2 and "exists" in again.err


@pytest.mark.parametrize("text", ["", "commit\tscore\tmemory\tstatus\tdescription\n", "hello\n"])
def test_a_table_without_a_line_is_unusable(said, text):
    Path("results.tsv").write_text(text)
    done = said("import", "results.tsv")
    assert done.code == 2 and "no line with" in done.err


EVALUATOR = '''
import data


def evaluate(path):
    """The score is how near to the goal the program comes."""
    scope = {}
    exec(open(path).read(), scope)
    return {"combined_score": -abs(scope["VALUE"] - data.GOAL), "size": len(open(path).read()), "note": "fine"}
'''
PROGRAM = "# EVOLVE-BLOCK-START\nVALUE = 1\n# EVOLVE-BLOCK-END\n"


@pytest.fixture
def evaluated(said):
    Path("evaluator.py").write_text(EVALUATOR)
    Path("data.py").write_text("GOAL = 5\n")
    Path("program.py").write_text(PROGRAM)
    done = said(
        "import", "evaluator.py", "--program", "program.py", "--into", "goal", "--file", "data.py",
        "--metric", "combined_score", "--metric", "size",
    )  # fmt: skip
    assert done.code == 0, done.err


def test_an_evaluator_and_its_program_become_a_task_that_is_searched(said, told, evaluated):
    done = said("check", "goal")
    assert done.code == 0, done.out
    brief = Path("goal/brief.md").read_text()
    assert "raise the combined_score" in brief and "EVOLVE-BLOCK" in brief and "how near to the goal" in brief
    asked = told(
        "suggest", "--task", "goal", "--recipe", "a", "--researcher", "external", "--trials", "2", "--folder", "run",
        "--into", "work",
    )  # fmt: skip
    assert asked["history"][0]["score"] == -4.0 and asked["editable"] == ["program.py"]
    Path("work/program.py").write_text(PROGRAM.replace("1", "4"))
    said_then = told("propose", "run", "--trial", "1", "--files", "work", "--why", "nearer")
    assert (said_then["finished"][0]["score"], said_then["finished"][0]["keep"]) == (-1.0, True)
    Path("work/program.py").write_text("VALUE = 1 / 0\n")
    (row,) = told("propose", "run", "--trial", "2", "--files", "work")["finished"]
    assert row["status"] == "exit" and "ZeroDivisionError" in row["reason"]
    assert said("best", "run", "--apply", "best").code == 0
    assert "VALUE = 4" in Path("best/program.py").read_text()
    run = told("show", "run", "--trial", "1")["runs"][0]
    assert set(run["metrics"]) == {"combined_score", "size"}


def test_what_cannot_become_a_task_is_told(said, evaluated):
    Path("no.py").write_text("x = 1\n")
    Path("broken.py").write_text("x =\n")
    for args, message in (
        (("evaluator.py",), "--program"),
        (("no.py", "--program", "program.py", "--into", "x"), "no function evaluate"),
        (("broken.py", "--program", "program.py", "--into", "x"), "cannot be read as Python"),
        (("evaluator.py", "--program", "missing.py", "--into", "x"), "missing.py"),
        (("evaluator.py", "--program", "program.py", "--into", "goal"), "not an empty folder"),
        (("evaluator.py", "--program", "program.py", "--into", "x", "--file", "y"), "'y'"),
        (("missing.tsv",), "missing.tsv"),
        (("results.tsv", "--metric", "x"), "belong to an evaluator"),
    ):
        done = said("import", *args)
        assert done.code == 2 and message in done.err, (args, done.err)
