"""What a run of a folder task finds around it: interpreter, variables, paths, network, setup, seed, limits."""

import subprocess
import sys
from pathlib import Path

import pytest

from bilevel.errors import HarnessError, InputError
from bilevel.execution.network import NOT_ENFORCED, OFF, network_isolation
from bilevel.lab import Bench, Lab
from bilevel.space import Candidate
from bilevel.tasks.catalog import find
from bilevel.trial import Status


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def script(task, text: str) -> Candidate:
    """The baseline with a script of this text behind its constant; `show` prints a loss."""
    return Candidate(task.baseline().params, {"train.py": f"import os, sys\nRATE = 0.5\n{text}\n"})


def printed(task, run, text: str, **options) -> str:
    """What a script printed."""
    measured = run(task, script(task, f'{text}\nprint("loss: 1")'), **options)
    assert measured.status is Status.OK, measured.log
    return measured.log.removesuffix("\nloss: 1").removesuffix("loss: 1").strip()


# --- The interpreter -----------------------------------------------------------------------------------------------


@pytest.fixture
def venv(repository):
    """A virtual environment in the repository, with a package, and the repository itself installed editable."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(repository / ".venv")], check=True)
    packages = next((repository / ".venv").glob("lib/python*/site-packages"))
    (packages / "other.py").write_text("VALUE = 4\n")
    (packages / "other-1.0.dist-info").mkdir()
    (packages / "mine.pth").write_text(f"{repository / 'src'}\n")
    return repository / ".venv"


def test_the_repositorys_own_environment_is_found_and_used_as_it_is(venv, described, run):
    task = find(described())
    assert printed(task, run, "import other; print(sys.prefix, other.VALUE)") == f"{venv} 4"
    facts = run(task).data["python"]
    assert facts["python"] == ".venv/bin/python" and facts["version"].startswith("3.") and len(facts["packages"]) == 12
    assert (
        printed(task, run, "print(os.environ['VIRTUAL_ENV'], os.environ['PATH'].split(':')[0])") == f"{venv} {venv}/bin"
    )


def test_the_working_copy_comes_before_an_editable_install_of_the_repository(venv, described, run):
    task = find(described())
    assert run(task, Candidate({"RATE": 0.5}, {"src/mine/__init__.py": "FACTOR = 4\n"})).metrics == {"loss": 2.0}


def test_a_given_import_path_comes_last_and_belongs_to_the_working_copy(repository, described, run):
    task = find(described(command='env = { PYTHONPATH = "lib" }'))
    paths = printed(task, run, "print([os.path.relpath(p) for p in os.environ['PYTHONPATH'].split(':')])")
    assert paths == "['src', '.', 'lib']"


def test_an_interpreter_can_be_named_by_its_path_or_as_a_program(venv, repository, described, run):
    (repository / "env/conda-meta").mkdir(parents=True)
    (repository / "env/conda-meta/history").write_text("")
    (repository / "env/python").symlink_to(sys.executable)
    task = find(described(command='python = "env/python"'))
    assert run(task).data["python"] == {"python": "env/python"}
    other = find(described(command='python = "python3"'))
    assert run(other).data["python"]["python"] == "python3"
    assert len({task.harness, other.harness, find(described()).harness}) == 3


def test_without_an_environment_in_the_source_it_is_ours_and_nothing_is_recorded(described, run):
    task = find(described())
    assert "python" not in run(task).data
    assert printed(task, run, "print(sys.executable)") == sys.executable


def test_an_installed_package_changes_the_harness(venv, described):
    folder = described()
    before = find(folder).harness
    next(venv.glob("lib/python*/site-packages/other-1.0.dist-info")).rename(
        next(venv.glob("lib/python*/site-packages")) / "other-1.1.dist-info"
    )
    assert find(folder).harness != before


@pytest.mark.parametrize("python", ["../nowhere/python", "no-such-python", "src/mine"])
def test_an_interpreter_that_is_not_there_is_told_with_the_way_out(described, python):
    with pytest.raises(InputError, match=r"command\.python: .*(make the environment|give the path)"):
        find(described(command=f'python = "{python}"'))


def test_a_broken_environment_is_never_replaced_by_ours(repository, described):
    (repository / ".venv/bin").mkdir(parents=True)
    (repository / ".venv/bin/python").symlink_to("/nowhere/python3")
    with pytest.raises(InputError, match="make the environment"):
        find(described())


def test_a_candidates_files_never_take_the_place_of_a_scorers_modules(repository, described, run):
    folder = described(arguments=', "{harness}/score.py"')
    (folder / "harness").mkdir()
    (folder / "harness/score.py").write_text(
        "import colorsys, os\nprint('loss:', len(os.environ['BILEVEL_PYTHONPATH'].split(':')))\n"
    )
    text = (folder / "task.toml").read_text().replace('"{python}", "train.py", ', '"{python}", ')
    text = text.replace('direction = "minimize"', 'direction = "minimize"\nself_reported = false')
    (folder / "task.toml").write_text(text.replace('"src/mine/*.py"', '"*.py"'))
    task = find(folder)
    assert run(task, Candidate({"RATE": 0.5}, {"colorsys.py": "raise SystemExit(3)\n"})).metrics == {"loss": 2.0}


# --- Variables -----------------------------------------------------------------------------------------------------


def test_named_variables_are_handed_through_and_recorded_by_name_only(described, monkeypatch, run):
    monkeypatch.setenv("DATASET", "tiny-stories")
    task = find(described(command='env_pass = ["DATASET", "ABSENT"]\nenv = { OMP_NUM_THREADS = "3" }'))
    assert printed(task, run, "print(os.environ['DATASET'], os.environ['OMP_NUM_THREADS'])") == "tiny-stories 3"
    data = run(task).data
    assert data["env"] == {"DATASET": True, "ABSENT": False}
    assert "tiny-stories" not in str(data)


def test_a_name_that_looks_like_a_secret_needs_a_second_word_and_its_value_stays_out_of_the_log(
    described, monkeypatch, run
):
    monkeypatch.setenv("HUB_TOKEN", "tok-123456")
    refused = find(described(command='env_pass = ["HUB_TOKEN"]'))
    assert "env_secret_ok" in refused.check()[0]
    with pytest.raises(InputError, match="HUB_TOKEN"):
        run(refused)
    folder = described(command='env_pass = ["HUB_TOKEN"]\nenv_secret_ok = ["HUB_TOKEN"]')
    task = find(folder)
    failed = run(task, script(task, "print('loss:', os.environ['HUB_TOKEN'])"))
    assert failed.data["reason"] == "metric 'loss': not a number: '[HUB_TOKEN]'" and "tok-" not in failed.log
    assert printed(task, run, "print(os.environ['HUB_TOKEN'], len(os.environ['HUB_TOKEN']))") == "[HUB_TOKEN] 10"
    before = task.harness
    monkeypatch.setenv("HUB_TOKEN", "tok-654321")
    assert find(folder).harness == before
    monkeypatch.delenv("HUB_TOKEN")
    assert find(folder).harness != before


# --- Shared paths --------------------------------------------------------------------------------------------------


def test_shared_paths_are_seen_below_the_runs_own_home_and_what_is_written_stays(home, described, run):
    (home / ".cache/data").mkdir(parents=True)
    (home / ".cache/data/x.txt").write_text("7")
    keys = 'read_paths = ["~/.cache/data", "~/.cache/data/x.txt"]\nwrite_paths = ["~/.cache/compiled"]'
    task = find(described(command=keys))
    assert not (home / ".cache/compiled").exists()
    text = (
        "h = os.path.expanduser('~'); print(open(h + '/.cache/data/x.txt').read())\nopen(h + '/.cache/compiled/k', 'w')"
    )
    assert printed(task, run, text) == "7"
    assert (home / ".cache/compiled/k").exists()
    assert run(task).data["paths"] == {
        "read": ["~/.cache/data", "~/.cache/data/x.txt"], "write": ["~/.cache/compiled"],
    }  # fmt: skip
    run(task)
    assert (home / ".cache/data/x.txt").read_text() == "7" and not (home / ".cache/data/x.txt").is_symlink()


def test_data_that_git_ignores_is_there_in_the_working_copy(repository, described, run):
    (repository / "data").mkdir()
    (repository / "data/x.txt").write_text("8")
    source = '[source]\npath = "../repository"\nexclude = ["data/**"]'
    task = find(described(source, command='read_paths = ["data"]'))
    assert printed(task, run, "print(open('data/x.txt').read())") == "8"
    with pytest.raises(InputError, match="is in the source already"):
        find(described(command='read_paths = ["data"]'))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('read_paths = ["~/nothing"]', "make it"),
        ('write_paths = ["out"]', "only read"),
        ('read_paths = ["~"]', "whole HOME"),
        ('read_paths = ["../repository"]', "whole source"),
        ('write_paths = ["/"]', "whole HOME"),
        ('write_paths = ["~/file"]', "is a file"),
    ],
)
def test_a_path_that_cannot_be_shared_is_told_when_the_task_is_opened(home, described, keys, words):
    (home / "file").write_text("")
    with pytest.raises(InputError, match=words):
        find(described(command=keys))


# --- The network ---------------------------------------------------------------------------------------------------

CONNECT = """
import socket
found = socket.socket(); found.settimeout(2)
print(found.connect_ex(("127.0.0.1", {port})) == 0)
"""


@pytest.fixture
def port():
    """A port of the host on which somebody listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_run_has_no_network_unless_the_task_says_so(described, run, port):
    if network_isolation() != OFF:
        pytest.skip(f"the system does not let us: {network_isolation()}")
    off = find(described())
    assert printed(off, run, CONNECT.format(port=port)) == "False"
    assert (run(off).data["network"], off.network) == ("off", "off")
    on = find(described(command='network = "on"'))
    assert printed(on, run, CONNECT.format(port=port)) == "True"
    assert run(on).data["network"] == "on"
    assert on.harness != off.harness


def test_where_the_system_cannot_the_record_says_that_it_is_not_enforced(described, run, monkeypatch, port):
    monkeypatch.setattr("bilevel.tasks.conditions.network_isolation", lambda: NOT_ENFORCED)
    task = find(described())
    assert printed(task, run, CONNECT.format(port=port)) == "True"
    assert run(task).data["network"] == "off asked, not enforceable here"


# --- Setup ---------------------------------------------------------------------------------------------------------

MAKE = """
import os, pathlib
pathlib.Path("data").mkdir(exist_ok=True)
pathlib.Path("data/small.txt").write_text("5")
pathlib.Path("data/large.bin").write_bytes(b"x" * (2 << 20))
count = pathlib.Path(os.environ["COUNT"])
count.write_text(count.read_text() + "1" if count.exists() else "1")
print("made")
"""
SETUP = '[setup]\ncommand = ["{python}", "make.py"]\ninputs = ["make.py"]\noutputs = ["data/**"]'


@pytest.fixture
def count(tmp_path, repository):
    (repository / "make.py").write_text(MAKE)
    return tmp_path / "count"


def prepared(described, count, more=SETUP):
    return find(described(more=more, command=f'env = {{ COUNT = "{count}" }}'))


READ = "print(open('data/small.txt').read(), os.path.getsize('data/large.bin'))"


def test_a_setup_runs_once_and_what_it_made_is_in_every_working_copy(described, repository, count, run):
    task = prepared(described, count)
    assert printed(task, run, READ) == "5 2097152"
    assert printed(prepared(described, count), run, READ) == "5 2097152"
    assert count.read_text() == "1"
    assert not (repository / "data").exists()
    assert len(run(task).data["setup"]) == 16


def test_a_setup_runs_again_when_its_inputs_change_and_not_for_other_files(described, repository, count, run):
    first = run(prepared(described, count)).data["setup"]
    (repository / "notes.md").write_text("not an input")
    assert run(prepared(described, count)).data["setup"] == first
    (repository / "make.py").write_text(MAKE + "# changed\n")
    assert run(prepared(described, count)).data["setup"] != first
    assert count.read_text() == "11"


def test_a_failing_setup_is_told_with_its_log_and_tried_again(described, repository, count, run):
    (repository / "make.py").write_text("raise SystemExit('no corpus')\n")
    for _ in range(2):
        with pytest.raises(InputError, match="no corpus"):
            run(prepared(described, count))
    (repository / "make.py").write_text("print('nothing made')\n")
    with pytest.raises(InputError, match="made nothing that matches 'data/\\*\\*'"):
        run(prepared(described, count))


def test_a_setup_has_a_time_limit(described, repository, count, run):
    (repository / "make.py").write_text("import time; time.sleep(1000)\n")
    with pytest.raises(InputError, match="wall_limit"):
        run(prepared(described, count, f"{SETUP}\nseconds = 0.3"))


def test_a_run_that_writes_into_what_the_setup_made_is_refused(described, count, run):
    task = prepared(described, count)
    text = "os.chmod('data/large.bin', 0o644); open('data/large.bin', 'ab').write(b'y'); print('loss: 0')"
    refused = run(task, script(task, text))
    assert refused.status is Status.REFUSED and "data/large.bin" in refused.data["reason"]
    with pytest.raises(HarnessError, match="delete the folder"):
        run(task)


def test_small_outputs_are_copies_and_a_candidates_own_file_wins(described, repository, count, run):
    folder = described(more=SETUP, command=f'env = {{ COUNT = "{count}" }}')
    text = (folder / "task.toml").read_text().replace('"src/mine/*.py"', '"data/*"')
    (folder / "task.toml").write_text(text)
    task = find(folder)
    assert printed(task, run, "os.chmod('data/small.txt', 0o644); open('data/small.txt', 'w').write('9')") == ""
    assert printed(task, run, READ) == "5 2097152"
    own = script(task, f"{READ}\nprint('loss: 1')")
    own = Candidate(own.params, {**own.files, "data/large.bin": "mine"})
    assert run(task, own).log == "5 4\nloss: 1"


# --- The seed ------------------------------------------------------------------------------------------------------


def seen(described, run, keys, text, seed=5):
    task = find(described(command=keys))
    measured = run(task, script(task, text), seed=seed)
    assert measured.status is Status.OK, measured.log
    return measured


def test_the_seed_is_a_variable_of_ours_unless_said_otherwise(described, run):
    assert seen(described, run, "", "print('loss:', os.environ['BILEVEL_SEED'])").metrics == {"loss": 5.0}


def test_the_seed_can_be_a_variable_an_argument_or_nothing(described, run):
    measured = seen(described, run, 'seed = { env = "SEED" }', "print('loss:', os.environ['SEED'])")
    assert measured.metrics == {"loss": 5.0} and measured.data["seed"] == "env SEED"
    assert seen(described, run, 'seed = { argument = "--seed" }', "print('loss:', sys.argv[2])").metrics == {
        "loss": 5.0
    }
    text = "assert sys.argv[1:] == ['seed=5']; print('loss:', 1)"
    assert seen(described, run, 'seed = { argument = "seed=" }', text).metrics == {"loss": 1.0}
    text = "assert not sys.argv[1:] and not [n for n in os.environ if 'SEED' in n.replace('PYTHONHASHSEED', '')]"
    measured = seen(described, run, 'seed = "none"', f"{text}; print('loss: 1')")
    assert measured.metrics == {"loss": 1.0} and measured.data["seed"] == "none"


def test_the_seed_can_be_a_constant_and_a_candidate_must_keep_it(described, repository, run):
    (repository / "train.py").write_text("RATE = 0.5\nSEED = 1337\nprint('loss:', SEED)\n")
    task = find(described(command='seed = { constant = "SEED" }'))
    assert run(task, seed=5).metrics == {"loss": 5.0}
    assert task.baseline().params["SEED"] == 1337 and task.patch(task.baseline()) == ""
    gone = Candidate(task.baseline().params, {"train.py": "RATE = 0.5\nprint('loss: 0')\n"})
    assert "SEED" in run(task, gone).data["reason"]


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        ('{ constant = "SEED" }', "no constant SEED"),
        ('{ constant = "RATE" }', "no parameter"),
        ('{ env = "A", argument = "B" }', "exactly one"),
        ("{}", "exactly one"),
        ('"always"', "command.seed: .*'none'"),
        ('{ envs = "A" }', "command.seed.envs: is not a key"),
    ],
)
def test_a_seed_that_cannot_be_passed_is_an_input_error(described, seed, words):
    with pytest.raises(InputError, match=words):
        find(described(command=f"seed = {seed}"))


# --- Metrics and limits --------------------------------------------------------------------------------------------


def measured(described, run, metric, text):
    folder = described()
    toml = (folder / "task.toml").read_text().replace('read = "line"', metric)
    (folder / "task.toml").write_text(toml)
    task = find(folder)
    return run(task, script(task, text))


def test_metrics_of_a_summary_a_line_of_json_and_the_time_of_the_run(described, run):
    text = "print('loss: 1'); print('---'); print('val:    2.5')"
    assert measured(described, run, 'read = "line"\nlabel = "val"\nafter = "---"', text).metrics == {"loss": 2.5}
    text = "print('loss: 1'); print('---'); print('val: 2.5')"
    found = measured(described, run, 'read = "line"\nafter = "---"', text)
    assert found.status is Status.INVALID_METRIC and "no line" in found.log
    text = "print('{\"eval\": {\"loss\": 3}}'); print('{\"step\": 2}'); print('done')"
    assert measured(described, run, 'read = "json-line"\nkey = "eval.loss"', text).metrics == {"loss": 3.0}
    text = "open('log.jsonl', 'w').write('{\"loss\": 4}\\n{\"loss\": 3}\\n')"
    metric = 'read = "json-line"\nfile = "workdir/log.jsonl"\nkey = "loss"'
    assert measured(described, run, metric, text).metrics == {"loss": 3.0}
    assert 0 < measured(described, run, 'read = "seconds"', "").metrics["loss"] < 60


def test_the_time_budget_is_told_and_is_not_the_limit(described, run):
    task = find(described(rung="budget_seconds = 40", arguments=', "--time={budget}"'))
    assert printed(task, run, "print(sys.argv[1], os.environ['BILEVEL_BUDGET_SECONDS'])") == "--time=40 40"
    with pytest.raises(InputError, match="would be killed"):
        find(described(rung="budget_seconds = 60"))
    with pytest.raises(InputError, match="needs budget_seconds"):
        find(described(arguments=', "{budget}"'))


def test_a_program_can_set_when_runs_are_killed(described, run):
    task = find(described(rung="budget_seconds = 0.1"))
    shorter = task.with_limits(wall_seconds=0.4)
    assert run(shorter, script(shorter, "import time; time.sleep(1000)")).status is Status.TIME_OUT
    assert shorter.rungs[0].options["wall_seconds"] == 0.4 and task.rungs[0].options["wall_seconds"] == 60.0
    assert shorter.harness != task.harness == task.with_limits(wall_seconds=60.0).harness
    with pytest.raises(InputError, match="would be killed"):
        task.with_limits(wall_seconds=0.05)
    with pytest.raises(InputError, match="wall_seconds"):
        task.with_limits(wall_seconds=-1)


BUSY = """import multiprocessing, time
def work(_):
    end = time.process_time() + 0.6
    while time.process_time() < end: pass
with multiprocessing.Pool(2) as pool: pool.map(work, [1, 2])
print("loss: 1")"""


@pytest.mark.slow
def test_cpu_time_is_limited_where_the_task_says_so_and_loaders_are_not_held_to_the_wall_limit(described, run):
    task = find(described())
    assert run(task, script(task, BUSY)).status is Status.OK
    limited = task.with_limits(cpu_seconds=0.3)
    assert run(limited, script(limited, BUSY)).status is Status.TIME_OUT


def test_a_seal_is_measured_under_the_same_conditions(described, repository, run):
    keys = 'env = { MARK = "3" }\nseed = { argument = "--seed" }'
    folder = described(command=keys)
    text = (folder / "task.toml").read_text()
    text += '[metrics.hidden]\nread = "line"\n\n[seal]\nmetrics = ["hidden"]\ncommand = ["{python}", "seal.py"]\n'
    (folder / "task.toml").write_text(text)
    (repository / "seal.py").write_text("import os, sys\nprint('hidden:', os.environ['MARK'] + sys.argv[2])\n")
    task = find(folder)
    found = task.sealed(task.baseline(), Bench(Lab(), "full", 0, 9))
    assert found.metrics == {"hidden": 39.0}


def test_a_record_names_no_place_of_the_machine(venv, home, described, count, run):
    (home / "data").mkdir()
    keys = f'env = {{ COUNT = "{count}" }}\nread_paths = ["~/data"]\nseed = "none"'
    text = str(run(find(described(more=SETUP, command=keys))).data)
    assert str(Path.home()) not in text and str(home.parent) not in text
