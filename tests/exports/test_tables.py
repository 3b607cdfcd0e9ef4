"""A run as CSV, as results.tsv and as data frames: one row per trial, nothing where there is nothing."""

import csv
import io
import json
import math
import subprocess
import sys

import failing_function
import in_process
import pytest

import bilevel
from bilevel.errors import InputError, MissingExtra
from bilevel.importing import read_table


@pytest.fixture
def export(tmp_path):
    def run(*args):
        done = in_process.run("export", *args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_csv_has_a_row_for_each_trial_of_all_levels_and_arms(nested, export, tmp_path):
    assert export(nested, "--to", "csv", "--out", "all.csv") == "wrote all.csv\n"
    rows = read((tmp_path / "all.csv").read_text())
    with bilevel.Run.open(nested) as run:
        assert len(rows) == len(run.trials.rows)
        inner = [row for row in rows if row["level"] == "inner"]
        assert {row["level"] for row in rows} == set(run.levels) == {"inner", "settings", "mechanisms"}
        assert len({(row["branch"], row["trial"]) for row in rows}) == len(rows)
        assert len(inner) == run.summary.repetition.trials + 1  # the baseline
        final = [row for row in inner if row["final"] == "true"]
        assert [int(row["trial"]) for row in final] == [*range(len(run.trace))]
        assert [float(row["score"]) for row in final] == [trial.score for trial in run.trace]
        assert [row["param.DEPTH"] for row in final] == [str(trial.candidate.params["DEPTH"]) for trial in run.trace]
    assert final[0]["seeds"] == "0 1 2" and final[0]["gain"] == "" and float(final[1]["gain"]) != 0


def test_a_failed_trial_has_empty_cells_never_a_number(failing, export):
    rows = read(export(failing, "--to", "csv", "--out", "-"))
    failed = [row for row in rows if row["status"] == "exit"]
    assert failed and all("no such shape" in row["reason"] for row in failed)
    for row in failed:
        assert [row[name] for name in ("score", "gain", "metric.loss", "metric.steps")] == [""] * 4
        assert row["param.shape"] == "broken" and row["kept"] == "false" and row["evaluations"] == "1"
    worked = [row for row in rows if row["status"] == "ok"]
    assert worked and all(float(row["metric.loss"]) == float(row["score"]) for row in worked)


def test_half_a_character_in_a_reason_breaks_no_table(tmp_path, export):
    space = {"rate": (0.1, 1.0), "depth": range(1, 5), "shape": ["flat"]}
    bilevel.optimize(
        failing_function.loss, space, trials=1, start={"rate": 0.1, "depth": 1, "shape": "flat"},
        metric="loss", researcher="python:failing_function:Half", recipe="a", folder=tmp_path / "run",
    )  # fmt: skip
    assert [row["why"] for row in read(export(tmp_path / "run", "--to", "csv", "--out", "-"))][1:] == [
        "because ?, said it"
    ]
    export(tmp_path / "run", "--to", "results.tsv")
    with bilevel.Run.open(tmp_path / "run") as run:
        assert run.trials.to_csv().encode()


def test_duplicates_name_the_trial_that_ran_the_candidate_first(nested):
    with bilevel.Run.open(nested) as run:
        rows = run.trials.rows
    doubles = [row for row in rows if row["duplicate_of"]]
    assert doubles
    for row in doubles:
        branch, _, number = row["duplicate_of"].rpartition(":")
        first = next(one for one in rows if one["branch"] == branch and one["trial"] == int(number))
        assert first["candidate"] == row["candidate"] and first["level"] == row["level"] and first["seeds"]
    others = [(row["level"], row["candidate"]) for row in rows if not row["duplicate_of"]]
    assert len(set(others)) == len(others)


def test_results_tsv_is_read_by_import_as_it_was_written(failing, export, tmp_path):
    export(failing, "--to", "results.tsv", "--out", "results.tsv")
    table = read_table(tmp_path / "results.tsv")
    with bilevel.Run.open(failing) as run:
        trials = [trial for trial in run.trace if trial.runs]
    assert table.problems == () and table.metric == "loss" and len(table.rows) == len(trials)
    for row, trial in zip(table.rows, trials, strict=True):
        assert trial.candidate.id.startswith(row.commit)
        if trial.score is None:
            assert (row.status, row.score) == ("crash", None)
        else:
            assert row.status == ("keep" if trial.decision.keep else "discard")
            assert math.isclose(row.score, trial.score, abs_tol=1e-6)


def test_a_table_lies_in_the_run_folder_if_no_file_is_named(failing, export):
    assert json.loads(export(failing, "--to", "csv", "--json")) == {"table": str(failing / "trials.csv")}
    assert read((failing / "trials.csv").read_text())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--to", "csv", "--tag", "x"], "belong to an export to git"),
        (["--to", "csv", "--experiment", "x"], "belongs to an export to mlflow"),
        (["--out", "x"], "of an export to git it is --git"),
        (["--to", "csv", "--out", "-", "--json"], "--out - prints the table itself"),
        (["--to", "csv", "--out", "no/such/folder"], "cannot be written"),
        (["--to", "mlflow", "--out", "-"], "cannot be printed"),
    ],
)
def test_options_that_do_not_fit_are_refused(failing, tmp_path, args, says):
    done = in_process.run("export", failing, *args, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr


def test_data_frames_have_a_row_per_trial_and_the_right_kinds(failing):
    pytest.importorskip("pandas", reason="pandas is not installed (pip install 'bilevel[pandas]')")
    with bilevel.Run.open(failing) as run:
        frame, runs, trace = run.trace.to_pandas(), run.runs.to_pandas(), run.trace
    assert len(frame) == len(trace) and frame["trial"].tolist() == [trial.number for trial in trace]
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert [kinds[name] for name in ("trial", "score", "kept", "seeds")] == ["Int64", "float64", "boolean", "string"]
    assert [kinds["param." + name] for name in ("rate", "depth", "shape")] == ["float64", "Int64", "string"]
    broken = frame[frame["param.shape"] == "broken"]
    assert len(broken) and broken["score"].isna().all() and broken["metric.loss"].isna().all()
    assert frame["score"].min() == trace.incumbent.score
    assert len(runs) == sum(len(trial.runs) for trial in trace)
    assert runs[runs["trial"] == 0]["seed"].tolist() == [0, 1, 2]


def test_levels_are_traces_of_their_own(nested):
    with bilevel.Run.open(nested) as run:
        outer = run.level("mechanisms")
        assert len(outer) == 2 and [row["trial"] for row in outer.rows] == [0, 1]
        assert outer.table.columns.keys() == dict.fromkeys([*outer.table.columns]).keys()
        assert "param.newest" in outer.table.columns and "param.DEPTH" not in outer.table.columns
        with pytest.raises(InputError, match="the levels are: inner, settings, mechanisms"):
            run.level("outer")
        assert "<table>" in run._repr_html_() and "finished" in run._repr_html_()
        assert outer._repr_html_().count("<tr>") == 3 and "&#x27;" in outer._repr_html_()


def test_without_pandas_the_error_says_what_to_install(failing, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with bilevel.Run.open(failing) as run, pytest.raises(MissingExtra, match=r"pip install 'bilevel\[pandas\]'"):
        run.trace.to_pandas()


def test_neither_pandas_nor_mlflow_is_loaded_before_it_is_asked_for():
    code = (
        "import sys, bilevel; bilevel.Run; import bilevel.cli.exporting\nprint({'pandas', 'mlflow'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
