"""Karpathy's checkout as a task: what may change, how it is run and read, and that it is only read."""

import shutil

import pytest
from autoresearch_stub import FILES, TRAIN, fingerprint, git

from bilevel.errors import InputError
from bilevel.lab import Bench, Lab
from bilevel.space import Candidate, Choice, Float, Int
from bilevel.tasks.catalog import find
from bilevel.tasks.karpathy import program_characters, with_time_budget
from bilevel.trial import Status


def measure(task, candidate=None):
    return task.run(candidate or task.baseline(), Bench(Lab(), task.rungs[-1].name, 0, 0))


def with_train(task, old, new, count=1):
    assert TRAIN.count(old) == count
    return Candidate(task.baseline().params, {"train.py": TRAIN.replace(old, new)})


def test_its_constants_are_parameters_and_what_decides_nothing_is_locked(checkout):
    task = find(f"karpathy:{checkout}")
    domains, start = task.space.domains, task.baseline().params
    assert domains["MATRIX_LR"] == Float(0.002, 0.4, log=True)
    assert domains["TOTAL_BATCH_SIZE"] == Int(2**14, 2**21, power_of_two=True)
    assert start["TOTAL_BATCH_SIZE"] == 524288 and start["ADAM_BETAS"] == (0.8, 0.95)
    assert isinstance(domains["WINDOW_PATTERN"], Choice) and not domains["WINDOW_PATTERN"].locked
    assert domains["H100_BF16_PEAK_FLOPS"].locked
    assert len([name for name, domain in domains.items() if not domain.locked]) == 15
    assert (task.objective.name, task.objective.minimize, task.self_reported) == ("val_bpb", True, True)


@pytest.mark.parametrize(
    ("old", "new", "name", "expected"),
    [
        ("TOTAL_BATCH_SIZE = 2**19", "TOTAL_BATCH_SIZE = 393216", "TOTAL_BATCH_SIZE", Int(49152, 3145728, log=True)),
        ("DEPTH = 8\n", "DEPTH = 8\nMLP_RATIO = 4\n", "MLP_RATIO", Int(1, 12)),
        ("DEPTH = 8\n", "DEPTH = 8\nSOFTCAP = 15.0\n", "SOFTCAP", Float(1.5, 150.0, log=True)),
        ("DEPTH = 8\n", "DEPTH = 8\nEVAL_BATCH = 64\n", "EVAL_BATCH", Choice((64,), locked=True)),
        ('WINDOW_PATTERN = "SSSL"', 'WINDOW_PATTERN = "HHSL"', "WINDOW_PATTERN", None),
    ],
)
def test_a_script_with_other_constants_is_guessed(checkout, old, new, name, expected):
    (checkout / "train.py").write_text(TRAIN.replace(old, new))
    found = find(f"karpathy:{checkout}").space.domains[name]
    assert found == expected if expected else "HHSL" in found.options


def test_a_run_is_read_from_the_footer_with_the_checkouts_own_python_data_and_caches(checkout, home):
    before = fingerprint(checkout)
    task = find(f"karpathy:{checkout}")
    run = measure(task)
    assert run.status is Status.OK, run.log
    assert run.metrics["val_bpb"] == pytest.approx(0.981645)
    assert run.metrics["training_seconds"] == 300 and run.metrics["peak_vram_mb"] == 45060.0
    assert set(run.metrics) == {
        "val_bpb", "training_seconds", "total_seconds", "peak_vram_mb", "mfu_percent", "total_tokens_M", "num_steps",
        "num_params_M", "depth",
    }  # fmt: skip
    assert run.data["program_characters"] == program_characters(TRAIN)
    assert run.data["source"]["commit"] == git(checkout, "rev-parse", "HEAD").strip()[:12]
    measure(task)
    assert (home / ".triton" / "kernels").read_text() == "compiled\n" * 2
    assert fingerprint(checkout) == before


def test_only_train_py_may_be_edited(checkout):
    task = find(f"karpathy:{checkout}")
    cheat = Candidate(task.baseline().params, {"prepare.py": FILES["prepare.py"].replace("0.9 +", "0.1 +")})
    assert task.problems(cheat, task.baseline()) == ["prepare.py: the task lets only these be edited: train.py"]
    assert measure(task, cheat).status is Status.REFUSED


def test_a_crash_is_a_status_with_the_end_of_the_log_and_no_number(checkout):
    task = find(f"karpathy:{checkout}")
    run = measure(task, with_train(task, "useless(MATRIX_LR)", "useles(MATRIX_LR)"))
    assert run.status is Status.EXIT and run.metrics is None
    assert "NameError: name 'useles' is not defined" in run.log
    batch = measure(task, task.baseline().with_params(DEVICE_BATCH_SIZE=512))
    assert batch.status is Status.EXIT and "AssertionError" in batch.log


def test_a_score_that_is_no_number_and_one_above_the_footer_do_not_count(checkout):
    task = find(f"karpathy:{checkout}")
    nan = measure(task, with_train(task, "val_bpb = evaluate", 'val_bpb = float("nan") * evaluate'))
    assert nan.status is Status.INVALID_METRIC
    above = measure(task, with_train(task, 'print("\\n---")\n', 'print("\\nval_bpb: 0.1")\n'))
    assert above.status is Status.INVALID_METRIC


def test_a_time_budget_is_set_in_the_working_copy_only_and_is_on_record(checkout):
    before = fingerprint(checkout)
    task, plain = find(f"karpathy:{checkout}:time_budget=60"), find(f"karpathy:{checkout}")
    run = measure(task)
    assert run.metrics["training_seconds"] == 60 and run.data["time_budget"] == 60
    assert [(rung.name, dict(rung.options)) for rung in task.rungs] == [("60s", {"wall_seconds": 300.0})]
    assert [(rung.name, dict(rung.options)) for rung in plain.rungs] == [("full", {"wall_seconds": 600.0})]
    assert task.harness != plain.harness
    assert task.patch(task.baseline().with_params(DEPTH=9)).count("prepare.py") == 0
    assert fingerprint(checkout) == before


def test_the_brief_is_program_md_as_it_is_now_and_guidance_is_read_too(checkout):
    task = find(f"karpathy:{checkout}")
    assert task.brief.startswith("# autoresearch") and task.guidance == ""
    (checkout / "program.md").write_text("Try larger models.\n")
    (checkout / "guidance.md").write_text("Leave DEPTH alone.\n")
    assert (task.brief, task.guidance) == ("Try larger models.", "Leave DEPTH alone.")
    (checkout / "program.md").write_text("")
    assert task.brief.startswith("# autoresearch")


def test_where_the_checkout_is(checkout, monkeypatch):
    with pytest.raises(InputError, match="karpathy:PATH, or set AUTORESEARCH_DIR"):
        find("karpathy")
    monkeypatch.setenv("AUTORESEARCH_DIR", str(checkout))
    assert find("karpathy").folder == checkout
    assert find("karpathy:time_budget=5").time_budget == 5
    assert find("karpathy", time_budget=5).time_budget == 5
    assert with_time_budget("karpathy", 5.0) == "karpathy:time_budget=5"
    assert with_time_budget("karpathy:a/b:network=off", 5.0) == "karpathy:a/b:network=off,time_budget=5"
    with pytest.raises(InputError, match="--time-budget is for task 'karpathy'"):
        with_time_budget("sphere", 5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{0}:time_budget=soon", "number of seconds above 0, not 'soon'"),
        ("{0}:time_budget=0", "number of seconds above 0"),
        ("{0}:budget=5", "are not its options"),
        ("{0}:network=maybe", "on or off, not 'maybe'"),
        ("{0}/nowhere", "it has no train.py, prepare.py, program.md"),
    ],
)
def test_what_is_wrong_with_a_name_is_said(checkout, text, said):
    with pytest.raises(InputError, match=said):
        find("karpathy:" + text.format(checkout))


def test_what_is_missing_in_a_checkout_is_said_with_the_way_out(checkout, home, environment):
    (checkout / ".venv").unlink()
    with pytest.raises(InputError, match="run `uv sync` there"):
        find(f"karpathy:{checkout}")
    (checkout / ".venv").symlink_to(environment)
    shutil.rmtree(home / ".cache" / "autoresearch")
    with pytest.raises(InputError, match=r"there is no ~/.cache/autoresearch, .* `uv run prepare\.py`"):
        find(f"karpathy:{checkout}")


def test_what_a_run_began_with_outlives_a_change_of_the_checkout(checkout, tmp_path):
    task = find(f"karpathy:{checkout}")
    (checkout / "train.py").write_text(TRAIN.replace("DEPTH = 8", "DEPTH = 9"))
    again, now = find(task.reference), find(f"karpathy:{checkout}")
    assert again.harness == task.harness != now.harness
    assert (again.baseline().params["DEPTH"], now.baseline().params["DEPTH"]) == (8, 9)
    assert again.reference == task.reference
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(InputError, match="is not as it was when this run began"):
        find(task.reference)
    (checkout / "train.py").write_text(TRAIN)
    assert find(task.reference).harness == task.harness


def test_the_size_of_a_program_is_that_of_its_code():
    assert program_characters("x = 1  # one\n\n\n") == program_characters("x=1") == 3
    assert program_characters('def f():\n    """Words."""\n') == program_characters("def f(): ...") - 3
    assert program_characters("x = ") is None
