"""Measuring a folder task: what a run reads, how a failure is told, and that the task's files stay."""

import pytest

from bilevel.errors import HarnessError, InputError
from bilevel.execution.workspace import tree_hash
from bilevel.lab import Bench, Lab
from bilevel.objective import Objective
from bilevel.space import Candidate
from bilevel.task import Task
from bilevel.tasks.catalog import find
from bilevel.trial import Status


def edited(task, text: str) -> Candidate:
    """The baseline with its script's last part replaced; the constants stay."""
    head = (task.folder / "start" / "train.py").read_text().split("steps =")[0]
    return Candidate(task.baseline().params, {"train.py": head + text})


def test_a_folder_is_a_task(opened):
    task = opened("tiny")
    assert isinstance(task, Task)
    assert (task.name, task.objective, task.self_reported) == ("tiny", Objective("loss"), True)
    assert [rung.name for rung in task.rungs] == ["short", "long"]


def test_the_baseline_is_what_the_constants_say_and_unlisted_ones_are_locked(opened):
    task = opened("tiny")
    assert dict(task.baseline().params) == {"RATE": 0.1, "LAYERS": 4, "BETAS": (0.8, 0.95), "WIDTH": 16}
    assert task.space.unlocked == ("RATE", "LAYERS", "BETAS")


def test_the_last_metric_line_counts_and_parameters_rung_and_seed_arrive(opened, run):
    task = opened("tiny")
    assert run(task).metrics == {"loss": pytest.approx(0.09 + 0.4), "steps": 10.0}
    changed = task.baseline().with_params(RATE=0.01, LAYERS=2)
    measured = run(task, changed, "long", seed=5)
    assert measured.metrics == {"loss": pytest.approx(0.02 + 0.005), "steps": 100.0}
    assert task.evaluate(measured) == measured.metrics["loss"]
    assert measured.cost.evaluations == 1 and measured.cost.cpu_seconds > 0


def test_an_edited_file_runs_with_the_parameters_written_into_it(opened, run):
    task = opened("tiny")
    candidate = edited(task, 'print(f"loss: {RATE}")').with_params(RATE=0.5)
    assert run(task, candidate).metrics == {"loss": 0.5}


def test_a_new_file_can_be_used(opened, run):
    task = opened("tiny")
    candidate = edited(task, 'from parts.more import LOSS\nprint(f"loss: {LOSS}")')
    candidate = Candidate(candidate.params, {**candidate.files, "parts/more.py": "LOSS = 3\n"})
    assert run(task, candidate).metrics == {"loss": 3.0}


FAILURES = {
    "raises": ('raise ValueError("the reason")', Status.EXIT, "ValueError: the reason"),
    "prints a number and then fails": ('print("loss: 0")\nraise SystemExit(1)', Status.EXIT, "exit code 1"),
    "not a number": ('print("loss: nan")', Status.INVALID_METRIC, "not a finite number"),
    "infinite": ('print("loss: -inf")', Status.INVALID_METRIC, "not a finite number"),
    "a word": ('print("loss: low")', Status.INVALID_METRIC, "not a number"),
    "nothing printed": ("", Status.INVALID_METRIC, "no line"),
    "endless": ("while True: pass", Status.TIME_OUT, "cpu limit"),
    "hungry": ("held = bytearray(2**30)\nwhile True: pass", Status.OUT_OF_MEMORY, "memory limit"),
    "talkative": ('while True: print("loss: 0")', Status.OUTPUT_LIMIT, "output limit"),
    "claims to be our fault": ("raise SystemExit(13)", Status.EXIT, "exit code 13"),
    "aborts": ("os.abort()", Status.EXIT, "crashed"),
    "edits a protected file": ('open("data.py", "a").write("#")\nprint("loss: 0")', Status.REFUSED, "protected"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_each_failure_is_a_status_with_the_end_of_the_log_and_never_a_number(opened, case, run):
    text, status, words = FAILURES[case]
    task = opened("tiny")
    failed = run(task, edited(task, text))
    assert (failed.status, failed.metrics) == (status, None)
    assert words in failed.log
    with pytest.raises(InputError):
        task.evaluate(failed)


def test_a_silent_wait_ends_at_the_wall_limit(opened, run):
    task = opened("tiny", {"task.toml": {"wall_seconds = 60": "wall_seconds = 0.5"}})
    assert run(task, edited(task, "import time\ntime.sleep(1000)")).status is Status.TIME_OUT


def test_a_log_is_short_and_names_no_temporary_folder(opened, run):
    task = opened("tiny")
    failed = run(task, edited(task, "for n in range(100): print(n)\nraise ValueError(os.getcwd())"))
    assert len(failed.log.splitlines()) <= 41
    assert 'File "train.py"' in failed.log and "bilevel-" not in failed.log
    assert run(task, edited(task, "for n in range(100): print(n)\nraise ValueError(os.getcwd())")).log == failed.log


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"data.py": "TARGET = 0"}, "protects"),
        ({"other.py": ""}, "lets only these be edited: train.py, parts/*.py"),
        ({"parts/../data.py": ""}, "parts/../data.py"),
        ({"train.py": "RATE = "}, "line 1"),
        ({"train.py": "RATE = 0.1\n"}, "LAYERS"),
        ({"train.py": 'RATE = 0.1\nLAYERS = 4\nBETAS = (0.8, 0.95)\nWIDTH = 32\nprint("loss: 0")'}, "locked"),
        ({"train.py": "RATE = 0.1\nRATE = 0.2\nLAYERS = 4\nBETAS = (0.8, 0.95)"}, "bound on lines 1, 2"),
    ],
)
def test_files_that_break_the_rules_are_problems_and_are_refused_before_they_run(opened, files, words, run):
    task = opened("tiny")
    candidate = Candidate(task.baseline().params, files)
    assert any(words in problem for problem in task.problems(candidate, task.baseline()))
    refused = run(task, candidate)
    assert refused.status is Status.REFUSED and words in refused.data["reason"]
    assert refused.cost.evaluations == 0


def test_a_locked_constant_may_be_removed_with_the_code_that_used_it(opened, run):
    task = opened("tiny")
    text = 'RATE = 0.1\nLAYERS = 4\nBETAS = (0.8, 0.95)\nprint("loss: 1")\n'
    candidate = Candidate(task.baseline().params, {"train.py": text})
    assert task.problems(candidate, task.baseline()) == []
    assert run(task, candidate).metrics == {"loss": 1.0}


def test_runs_leave_the_task_as_it_is_and_no_working_copy_behind(opened, tmp_path, monkeypatch, run):
    task = opened("tiny")
    before = tree_hash(task.folder, ignore=())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    run(task)
    run(task, edited(task, 'open("left", "w").write("over")\nos.mkdir("closed", 0o000)\nraise ValueError'))
    assert tree_hash(task.folder, ignore=()) == before
    assert list(scratch.iterdir()) == []


def test_a_run_that_writes_into_the_task_is_refused_and_the_next_one_stops_the_search(opened, run):
    task = opened("tiny")
    target = task.folder / "start" / "data.py"
    refused = run(task, edited(task, f'open({str(target)!r}, "a").write("#")\nprint("loss: 0")'))
    assert refused.status is Status.REFUSED and "start" in refused.data["reason"]
    with pytest.raises(HarnessError, match="start/ of task 'tiny'"):
        run(task)


def test_the_environment_is_an_allow_list(opened, monkeypatch, run):
    monkeypatch.setenv("SOME_SECRET", "x")
    monkeypatch.setenv("WANTED", "5")
    monkeypatch.setenv("UNWANTED", "6")
    task = opened("tiny", {"task.toml": {"[command]": '[env]\npass = ["WANTED"]\nset = { GIVEN = "7" }\n\n[command]'}})
    seen = run(
        task, edited(task, 'print(sorted(os.environ))\nprint("loss:", os.environ["WANTED"] + os.environ["GIVEN"])')
    )
    assert seen.metrics == {"loss": 57.0}
    assert "SECRET" not in seen.log and "UNWANTED" not in seen.log


def test_an_unknown_rung_is_an_input_error(opened, run):
    with pytest.raises(InputError, match="short, long"):
        run(opened("tiny"), rung="longest")


def test_a_missing_program_is_an_input_error_and_found_without_running(opened, run):
    task = opened("tiny", {"task.toml": {'["{python}", "train.py"]': '["no-such-program", "train.py"]'}})
    assert "no-such-program" in task.check()[0]
    with pytest.raises(InputError, match="no-such-program"):
        run(task)


def test_a_json_file_of_the_working_copy_can_hold_a_self_reported_metric(opened, run):
    task = opened("tiny", {"task.toml": {'read = "line"': 'read = "json"\nfile = "workdir/out/r.json"\nkey = "a.b"'}})
    text = 'os.mkdir("out")\nopen("out/r.json", "w").write(\'{"a": {"b": 2.5}}\')'
    assert run(task, edited(task, text)).metrics == {"loss": 2.5}


LOOSE = '[space.parameters.X]\ntype = "int"\nlow = 0\nhigh = 9\ndefault = 3\n[command]'


def test_parameters_without_a_file_arrive_as_arguments_and_in_a_file(copied, run):
    folder = copied("tiny")
    head, rest = (folder / "task.toml").read_text().split("[space]")
    rest = rest.split("[command]")[1].replace('"train.py"]', '"train.py", "{param:X}"]')
    (folder / "task.toml").write_text(f"{head}{LOOSE}{rest}")
    (folder / "start/train.py").write_text(
        'import json, sys\nprint("loss:", int(sys.argv[1]) + json.load(open("params.json"))["X"] * 10)\n'
    )
    task = find(folder)
    assert dict(task.baseline().params) == {"X": 3}
    assert run(task, task.baseline().with_params(X=4)).metrics == {"loss": 44.0}


# --- A task with a scorer ------------------------------------------------------------------------------------------


def test_a_scorer_measures_and_sealed_metrics_stay_hidden(opened, run):
    task = opened("scored")
    assert not task.self_reported and not task.objective.minimize
    measured = run(task, task.baseline().with_params(GUESS=40))
    assert measured.metrics == {"score": -2.0}
    sealed = task.sealed(task.baseline().with_params(GUESS=40), Bench(Lab(), "full", 0, 0))
    assert sealed.metrics == {"secret": 1040.0}


def test_a_task_without_a_seal_says_so(opened):
    task = opened("tiny")
    with pytest.raises(InputError, match="seal"):
        task.sealed(task.baseline(), Bench(Lab(), "short", 0, 0))


@pytest.mark.parametrize(
    ("guess", "status", "reason"),
    [
        (97, Status.REFUSED, "REFUSED: 97 is not allowed"),
        (98, Status.DIVERGED, "DIVERGED: no finite loss"),
        (99, Status.INFRASTRUCTURE, "INFRASTRUCTURE: lost"),
    ],
)
def test_the_scorers_exit_codes_are_statuses(opened, guess, status, reason, run):
    task = opened("scored")
    failed = run(task, task.baseline().with_params(GUESS=guess))
    assert failed.status is status and failed.data["reason"] == reason


def test_code_that_crashes_under_the_scorer_is_an_exit_with_its_traceback(opened, run):
    task = opened("scored")
    failed = run(task, Candidate(task.baseline().params, {"guess.py": "GUESS = 50\n1 / 0\n"}))
    assert failed.status is Status.EXIT
    assert failed.data["reason"] == "ZeroDivisionError: division by zero" and "CRASHED: guess.py raised" in failed.log


@pytest.mark.parametrize("text", ['open(__import__("os").environ["BILEVEL_HARNESS"] + "/x.py", "w")'])
def test_a_candidate_cannot_slip_a_file_into_the_harness(opened, text, run):
    task = opened("scored")
    folder = '__import__("os").chmod(__import__("os").environ["BILEVEL_HARNESS"], 0o777)'
    failed = run(task, Candidate(task.baseline().params, {"guess.py": f"GUESS = 42\n{folder}\n{text}\n"}))
    assert failed.status is Status.REFUSED and "harness" in failed.data["reason"]
    assert run(task, task.baseline()).status is Status.OK


def test_preparation_happens_once_for_a_harness(opened, cache, run):
    task = opened("scored")
    run(task)
    run(task)
    task.prepare()
    assert (cache / "scored" / "count").read_text() == "1"


def test_a_failed_preparation_is_told_with_its_output_and_tried_again(opened, run):
    task = opened("scored", {"harness/prepare.py": {'print("prepared")': 'raise SystemExit("no text found")'}})
    for _ in range(2):
        with pytest.raises(InputError, match="no text found"):
            run(task)


def test_the_hash_changes_with_whatever_measures(opened, copied, monkeypatch, tmp_path):
    folder = copied("scored")
    hashes = [find(folder).harness]
    for path, old, new in (
        ("harness/score.py", "1000", "2000"),
        ("start/guess.py", "50", "51"),
        ("task.toml", "wall_seconds = 60.0", "wall_seconds = 61.0"),
        ("task.toml", "[seal]", '[env]\npass = ["CORPUS"]\n\n[seal]'),
    ):
        (folder / path).write_text((folder / path).read_text().replace(old, new))
        hashes.append(find(folder).harness)
    monkeypatch.setenv("CORPUS", "other")
    hashes.append(find(folder).harness)
    assert len(set(hashes)) == 6
    (folder / "brief.md").write_text("Other words.")
    assert find(folder).harness == hashes[-1]
