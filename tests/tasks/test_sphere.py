"""The sphere: known optimum, every kind of parameter, and its three difficulties."""

import random

import pytest

from bilevel.errors import InputError
from bilevel.lab import Bench, Lab
from bilevel.space import Bool, Choice, Float, Int
from bilevel.tasks.catalog import find
from bilevel.tasks.sphere import sphere
from bilevel.trial import Status


def run(task, candidate, seed=1, rung="full"):
    return task.run(candidate, Bench(Lab(), rung, 0, seed))


def test_it_has_every_kind_of_parameter():
    domains = sphere().space.domains
    floats = [domain for domain in domains.values() if isinstance(domain, Float)]
    assert {domain.log for domain in floats} == {True, False}
    assert {domain.power_of_two for domain in domains.values() if isinstance(domain, Int)} == {True, False}
    assert any(isinstance(domain, Choice) for domain in domains.values())
    assert any(isinstance(domain, Bool) for domain in domains.values())
    assert sum(domain.locked for domain in domains.values()) == 1


@pytest.mark.parametrize("deceptive", [False, True])
def test_no_random_candidate_beats_the_optimum(deceptive):
    task = sphere(noise=0.0, crash=False, deceptive=deceptive)
    best = task.optimum()
    assert best.value == pytest.approx(0.0, abs=1e-9)
    assert run(task, best.candidate).metrics == {"loss": best.value}
    rng = random.Random(0)
    scores = [task.evaluate(run(task, task.space.sample(rng, task.baseline()))) for _ in range(300)]
    assert min(scores) > best.value


def test_the_optimum_fits_the_space_and_does_not_crash():
    task = sphere()
    assert task.space.problems(task.optimum().candidate, task.baseline()) == []
    assert run(task, task.optimum().candidate).status is Status.OK


def test_noise_depends_on_parameters_and_seed_only():
    task = sphere(noise=0.1)
    start = task.baseline()
    assert run(task, start, 1).metrics == run(task, start, 1).metrics
    scores = [run(task, start, seed).metrics["loss"] for seed in range(400)]
    mean = sum(scores) / len(scores)
    spread = (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
    assert spread == pytest.approx(0.1, rel=0.15)
    assert sphere(noise=0.0).run(start, Bench(Lab(), "full", 0, 1)).metrics["loss"] == pytest.approx(mean, abs=0.02)


def test_a_smaller_batch_alone_crashes_and_with_fewer_rows_improves():
    task = sphere(noise=0.0)
    start = task.baseline()
    alone = run(task, start.with_params(batch=64))
    assert alone.status is Status.EXIT and "multiple of rows" in alone.log
    together = run(task, start.with_params(batch=64, rows=32))
    assert task.evaluate(together) < task.evaluate(run(task, start))


def test_the_crash_region_has_other_kinds_of_failure_and_can_be_switched_off():
    start = sphere().baseline()
    large = start.with_params(batch=8192, depth=12)
    assert run(sphere(), large).status is Status.OUT_OF_MEMORY
    assert run(sphere(), start.with_params(x1=0.95)).status is Status.INVALID_METRIC
    assert run(sphere(crash=False), large).status is Status.OK


def test_small_steps_from_the_baseline_end_in_the_deceptive_basin():
    task = sphere(noise=0.0, deceptive=True)
    at = {"x0": 4.0, "x1": task.space.domains["x1"].at(0.85), "x2": 4.0, "x3": task.space.domains["x3"].at(0.85)}
    trapped = task.optimum().candidate.with_params(**at)
    bottom = task.evaluate(run(task, trapped))
    for name in at:
        for unit in (-0.1, 0.1):
            domain = task.space.domains[name]
            moved = trapped.with_params(**{name: domain.at(domain.unit(at[name]) + unit)})
            assert run(task, moved).status is not Status.OK or task.evaluate(run(task, moved)) > bottom
    assert bottom > task.optimum().value + 0.2


def test_the_cheap_rung_is_biased_but_correlated():
    task = sphere(noise=0.0, rungs=2)
    assert [rung.name for rung in task.rungs] == ["quick", "full"]
    quick, full = (run(task, task.baseline(), rung=rung).metrics["loss"] for rung in ("quick", "full"))
    assert quick == pytest.approx(1.1 * full + 0.2)


def test_options_change_the_harness():
    assert len({sphere().harness, sphere(noise=0.2).harness, sphere(crash=False).harness}) == 3


@pytest.mark.parametrize("options", [{"dimensions": 1}, {"noise": -1.0}, {"rungs": 3}])
def test_impossible_options_are_input_errors(options):
    with pytest.raises(InputError):
        sphere(**options)


def test_options_can_be_written_after_the_name():
    task = find("sphere:noise=0.1,dimensions=6,crash=false")
    assert task.harness == sphere(noise=0.1, dimensions=6, crash=False).harness
    assert find("sphere", noise=0.1).harness == sphere(noise=0.1).harness
