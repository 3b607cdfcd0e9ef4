"""A run in an MLflow store, read with MLflow's own client: levels as parents and children, nothing there twice."""

import csv
import itertools
import json
from pathlib import Path

import in_process
import pytest

import bilevel
from bilevel.errors import InputError, MissingExtra
from bilevel.exports import tracking
from bilevel.exports.rows import Loaded, loaded
from bilevel.exports.tracking import KEY_TAG, About, _Writing
from bilevel.run import recorded
from bilevel.store.folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def installed():
    for name in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'bilevel[mlflow]')")


def export(folder, out, *args):
    done = in_process.run("export", folder, "--to", "mlflow", "--out", out, "--json", *args, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reader(out):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{out}")


def runs_in(out, experiment):
    client = reader(out)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    return client, {run.data.tags[KEY_TAG]: run for run in found}


def text_of(client, run, name):
    return Path(client.download_artifacts(run.info.run_id, name)).read_text()


def part(folder, trials):
    """What a store held after so many trials of its first innermost branch, and the rest that an export needs."""
    opened = RunFolder.read(folder)
    try:
        whole, some, (_, spec) = loaded(opened.store), Loaded(), recorded(opened.config)
        about = About(folder.name, "running", opened.config, {"best": 1.0}, {"note.txt": "x"}, 1e9)
    finally:
        opened.close()
    for branch in whole.branches()[:3]:  # the outer trials that opened it are still under way
        some.open_branch(branch)
        for trial in whole.trials(branch.id)[: trials if branch.level == "inner" else 0]:
            some.add_trial(branch.id, trial)
    return some, whole, spec, about


def test_the_levels_are_nested_and_hold_what_the_run_holds(nested, tmp_path):
    out = tmp_path / "store.db"
    done = export(nested, out, "--experiment", "mine")
    client, runs = runs_in(out, "mine")
    with bilevel.Run.open(nested) as run:
        rows, summary, recipe = run.trials.rows, run.summary, run.recipe
    assert len(runs) == len(rows) + 1 == done["trials"] + 1 == done["new"] + 1
    for row in rows:
        found = runs[f"{row['branch']}:{row['trial']}"]
        owner, _, opened = row["branch"].rpartition("/")
        above = runs[f"{owner}:{opened.partition('.')[0]}" if owner else "run"]
        assert found.data.tags["mlflow.parentRunId"] == above.info.run_id
        assert found.info.run_name == f"{row['level']} {row['trial']:04d}"
        assert found.info.status == {"ok": "FINISHED", "pruned": "KILLED"}.get(row["status"], "FAILED")
        assert found.data.metrics.get("score") == row["score"]
        assert found.data.metrics.get("val_bpb") == row.get("metric.val_bpb")
        params = {name.removeprefix("param."): value for name, value in row.items() if name.startswith("param.")}
        assert len(found.data.params) == len(params)
        if row["level"] == "inner":
            assert found.data.params["DEPTH"] == str(params["DEPTH"])
        assert found.data.tags["bilevel.final"] == str(row["final"]).lower()
    assert not [run for run in runs.values() if run.info.status == "RUNNING"]
    whole = runs["run"]
    assert whole.info.run_id == done["run_id"] and whole.info.status == "FINISHED"
    assert whole.data.metrics["best"] == summary.best and whole.data.metrics["gain"] == summary.gain
    assert whole.data.params["task"] == "gpt-table" and whole.data.params["inner.researcher"] == "stuck"
    curve = [point.value for point in client.get_metric_history(whole.info.run_id, "best_so_far")]
    assert curve == sorted(curve, reverse=True) and len(curve) == len([r for r in rows if r["level"] == "inner"])
    listed = {file.path for file in client.list_artifacts(whole.info.run_id)}
    assert listed == {"recipe.json", "claims.json", "best.json", "trials.csv"}
    stored = json.loads(text_of(client, whole, "recipe.json"))
    assert stored == recipe.model_dump(mode="json")
    table = csv.DictReader(text_of(client, whole, "trials.csv").splitlines())
    assert len([*table]) == len(rows)


def test_runs_begin_and_end_when_trials_were_measured(nested, tmp_path):
    """As the store's table of times has it; an older folder without one is laid end to end."""
    opened = RunFolder.read(nested)
    stints = {f"{one.branch}:{one.number}": one for one in opened.store.stints()}
    opened.close()
    done = export(nested, tmp_path / "m.db")
    _, found = runs_in(tmp_path / "m.db", done["experiment"])
    assert stints and stints.keys() <= found.keys()
    for key, one in stints.items():
        assert found[key].info.start_time == round(one.began * 1000)
        assert found[key].info.end_time == round(one.ended * 1000)
    assert found["run"].info.start_time == min(found[key].info.start_time for key in stints)
    some, _, spec, about = part(nested, 3)
    tracking.export(some, spec, about, str(tmp_path / "old.db"), "old")
    _, old = runs_in(tmp_path / "old.db", "old")
    inner = sorted((run.info.start_time, run.info.end_time) for key, run in old.items() if run.info.end_time)
    assert inner[0][0] == 1e12
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(inner))


def test_metrics_have_steps_and_seeds_and_a_mechanism_is_an_artifact(nested, tmp_path):
    export(nested, tmp_path / "store.db")
    client, runs = runs_in(tmp_path / "store.db", "gpt-table (a surrogate)")
    with bilevel.Run.open(nested) as run:
        outer, baseline = run.level("mechanisms"), run.trace[0]
    first = runs["root/0.only/0.only:0"].info.run_id
    seeds = client.get_metric_history(first, "seeds/val_bpb")
    assert {point.step: point.value for point in seeds} == {r.seed: r.metrics["val_bpb"] for r in baseline.runs}
    (second,) = client.get_metric_history(runs["root:1"].info.run_id, "gain")
    assert second.step == 1 and second.value == outer[1].score
    (name,) = outer[1].candidate.files
    assert text_of(client, runs["root:1"], f"{name}.txt") == outer[1].candidate.files[name]


def test_exporting_twice_adds_nothing_and_a_second_run_is_another(nested, failing, tmp_path):
    out = tmp_path / "store.db"
    first, again = export(nested, out, "--experiment", "x"), export(nested, out, "--experiment", "x")
    assert again == {**first, "new": 0}
    client, _ = runs_in(out, "x")
    assert len(client.get_metric_history(first["run_id"], "best")) == 1
    other = export(failing, out, "--experiment", "x")
    found = client.search_runs([client.get_experiment_by_name("x").experiment_id], "status = 'FAILED'")
    failed = [one for one in found if one.data.tags["mlflow.parentRunId"] == other["run_id"]]
    assert failed and all("score" not in one.data.metrics for one in failed)
    assert {one.data.tags["bilevel.status"] for one in failed} == {"exit"}
    named = "metrics.`metric.seconds` = 99"  # the function's own: the name is taken by what measuring took
    worked = client.search_runs([client.get_experiment_by_name("x").experiment_id], named)
    assert worked and all(one.data.metrics["seconds"] < 99 for one in worked)


def test_a_run_that_goes_on_is_added_to_and_an_export_that_was_killed_is_finished(nested, tmp_path, monkeypatch):
    some, whole, spec, about = part(nested, 1)
    out = str(tmp_path / "store.db")
    first = tracking.export(some, spec, about, out, "x")
    assert runs_in(out, "x")[1]["run"].info.status == "RUNNING"

    calls, texts = [], _Writing._texts

    def killed(self, branch, trial):
        calls.append(trial)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return texts(self, branch, trial)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_Writing, "_texts", killed)
        tracking.export(whole, spec, about, out, "x")
    last = tracking.export(whole, spec, about, out, "x")
    total = sum(len(whole.trials(branch.id)) for branch in whole.branches())
    assert last.run_id == first.run_id and last.trials == total and last.new == total - first.trials - 1
    _, runs = runs_in(out, "x")
    assert len(runs) == total + 1
    assert [key for key, run in runs.items() if run.info.status == "RUNNING"] == ["run"]
    direct = tracking.export(whole, spec, about, str(tmp_path / "direct.db"), "x")
    fresh = runs_in(tmp_path / "direct.db", "x")[1]
    for key, run in runs.items():
        theirs = fresh[key]
        assert run.data.metrics == theirs.data.metrics and run.data.params == theirs.data.params
        assert run.data.tags.keys() == theirs.data.tags.keys() and run.info.status == theirs.info.status
        assert run.data.tags.get("bilevel.final") == theirs.data.tags.get("bilevel.final")
    assert direct.trials == total


def test_nothing_to_export_and_no_store_are_errors_that_say_so(nested, tmp_path, monkeypatch):
    some, _, spec, about = part(nested, 0)
    with pytest.raises(InputError, match="no finished trial yet"):
        tracking.export(some, spec, about, str(tmp_path / "store.db"), "x")
    (tmp_path / "text.db").write_text("this is no database" * 100)
    done = in_process.run("export", nested, "--to", "mlflow", "--out", tmp_path / "text.db", cwd=tmp_path)
    assert done.returncode == 1 and "MLflow cannot write to" in done.stderr
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'bilevel\[mlflow\]'"):
        tracking.export(some, spec, about, str(tmp_path / "store.db"), "x")
