"""Finding tasks, and being told everything that is wrong with one."""

from pathlib import Path

import pytest

from bilevel.errors import InputError
from bilevel.tasks.catalog import find, shipped
from bilevel.tasks.folder import FolderTask


def test_every_shipped_task_is_found_by_its_name():
    assert [name for name, _ in shipped() if ":" not in name] == ["article", "gpt", "gpt-table", "page", "sphere"]
    for name, title in shipped():  # families have their own tests
        if ":" in name:
            continue
        assert find(name).name.startswith(name) and find(name).brief and title


@pytest.mark.parametrize("name", ["sphere", "gpt-table", "page"])
def test_shipped_tasks_that_need_nothing_run(name, run):
    assert run(find(name)).metrics


def test_the_gpt_task_is_a_folder_without_problems():
    task = find("gpt")
    assert isinstance(task, FolderTask)
    assert task.check() == []
    assert task.patch(task.baseline().with_params(DEPTH=2)).count("\n+") == 2


def test_a_folder_is_found_by_its_path(copied):
    folder = copied("tiny")
    assert find(folder).name == find(str(folder)).name == "tiny"


def test_a_shipped_name_wins_over_a_folder_which_can_be_told_apart(copied, tmp_path, monkeypatch):
    copied("tiny").rename(tmp_path / "sphere")
    monkeypatch.chdir(tmp_path)
    assert find("sphere").name == "sphere"
    assert find("./sphere").name == "tiny"


@pytest.mark.parametrize("name", ["spere", "no/such/folder", ""])
def test_an_unknown_name_lists_what_there_is_and_the_way_out(name):
    with pytest.raises(
        InputError,
        match=r"article, gpt, gpt-table, page, sphere, hpo:NAME, landscape:NAME, sklearn:NAME; for your own, give the",
    ):
        find(name)


def test_a_folder_without_a_task_says_so(tmp_path):
    with pytest.raises(InputError, match=r"has no task\.toml"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sphere:nois=1", "its options are: dimensions, noise, crash, deceptive, rungs"),
        ("sphere:noise=much", "needs a number"),
        ("sphere:dimensions=2.5", "needs a whole number"),
        ("sphere:crash=maybe", "needs true or false"),
        ("sphere:noise", "is not an option"),
        ("gpt-table:noise=1", "has no option 'noise'"),
        ("gpt:noise=1", "takes no options"),
    ],
)
def test_wrong_options_are_input_errors(name, words):
    with pytest.raises(InputError, match=words):
        find(name)


def messages(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        find(folder)
    return str(error.value)


def test_all_problems_of_a_file_are_told_at_once_with_their_keys(copied):
    found = messages(
        copied(
            "tiny",
            {
                "task.toml": {
                    'title = "A script that prints its own loss"': 'titel = "x"',
                    '"minimize"': '"minimise"',
                    "low = 1\nhigh = 8": "low = 1.5",
                    "wall_seconds = 60": "wall_seconds = -1",
                    'type = "choice"': 'type = "pick"',
                }
            },
        )
    )
    for line in (
        "- title: is missing",
        "- titel: is not a key that this program reads; did you mean 'title'?",
        "- objective.direction: should be 'minimize' or 'maximize', not 'minimise'",
        "- space.parameters.LAYERS.low: should be a valid integer, not 1.5",
        "- space.parameters.LAYERS.high: is missing",
        "- rungs[1].wall_seconds: should be greater than 0, not -1",
        "- space.parameters.BETAS: tag 'pick'",
    ):
        assert line in found


def test_a_wrong_entry_of_a_list_is_all_that_is_told_of_the_list(copied):
    folder = copied("tiny", {"task.toml": {"wall_seconds = 60": "wall_seconds = -1"}})
    assert messages(folder).count("\n  - ") == 2 and "- rungs:" not in messages(folder)
    path = folder / "task.toml"
    path.write_text(path.read_text().partition("[[rungs]]")[0].replace("title", "rungs = []\ntitle", 1))
    assert "- rungs: tuple should have at least 1 item" in messages(folder)


def test_a_brief_that_is_no_text_is_told(copied):
    folder = copied("tiny")
    (folder / "brief.md").write_bytes(b"K\xfcrzer")
    assert "brief.md: cannot be read as UTF-8 text" in messages(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('metric = "loss"', 'metric = "los"', "objective.metric: there is no table [metrics.los]"),
        ("^after (\\\\d+) steps$", "(a)(b)", "metrics.steps.pattern: needs exactly one group"),
        ("^after (\\\\d+) steps$", "(", "metrics.steps.pattern: not a regular expression"),
        ('name = "long"', 'name = "short"', "two rungs are called 'short'"),
        ('"train.py"]\n\n[[', '"{there}/train.py"]\n\n[[', "command.run: {there} is not one of"),
        ("low = 1\nhigh = 8", "low = 9\nhigh = 8", "space.parameters.LAYERS: bounds must be finite"),
        ("low = 1\nhigh = 8", "low = 1\nhigh = 3", "space.parameters.LAYERS: the start has 4, but the domain says"),
        ("parameters.LAYERS]", "parameters.LAYER]", "no such constant in train.py; did you mean LAYERS?"),
        ("low = 1\nhigh = 8", "low = 1\nhigh = 8\ndefault = 4", "LAYERS.default: the value stands in the file"),
        ('constants = ["train.py"]', 'constants = ["main.py"]', "space.constants: start/main.py cannot be read"),
        ('protected = ["data.py"]', 'protected = ["*.py"]', "train.py is protected, so its constants cannot be set"),
        ('"minimize"', '"minimize"\nself_reported = false', "command.run does not use {harness}"),
        ('["{python}", "train.py"]', '["{harness}/run"]', "there is no folder harness/"),
    ],
)
def test_contradictions_are_told_with_their_key(copied, old, new, words):
    assert words in messages(copied("tiny", {"task.toml": {old: new}}))


def test_a_scorers_metric_may_not_come_from_the_working_copy(copied):
    folder = copied("scored", {"task.toml": {'"result.json"\nkey = "score"': '"workdir/result.json"\nkey = "score"'}})
    assert "metrics.score.file: a file of the working copy is the candidate's own word" in messages(folder)


def test_what_is_not_toml_and_missing_parts_are_told(copied, tmp_path):
    folder = copied("tiny")
    (folder / "brief.md").unlink()
    (folder / "start/train.py").write_text("RATE = (")
    found = messages(folder)
    assert "brief.md: is missing or empty" in found and "start/train.py, line 1" in found
    (folder / "task.toml").write_text("name = ")
    assert "is not TOML" in messages(folder)


def test_check_finds_what_can_be_found_without_running(opened):
    task = opened(
        "tiny",
        {
            "task.toml": {
                'editable = ["train.py", ': 'editable = ["trian.py", "train.py", ',
                "[command]": '[env]\npass = ["MY_API_KEY"]\n\n[command]',
            }
        },
    )
    found = task.check()
    assert "candidate.editable: there is no file 'trian.py' in start/" in found
    assert any("MY_API_KEY" in problem and "secret" in problem for problem in found)


def test_check_runs_the_baseline_when_asked(opened):
    assert opened("tiny").check(run_baseline=True) == []


def test_check_reports_a_metric_that_the_baseline_does_not_print(opened):
    task = opened("tiny", {"start/train.py": {"steps} steps": "steps} rounds"}})
    assert task.check() == []
    assert task.check(run_baseline=True) == ["metrics.steps: the baseline ran, but this metric could not be read"]


def test_check_reports_a_baseline_that_fails(opened):
    task = opened("tiny", {"start/train.py": {'print(f"loss: {loss}")': "print(lost)", 'print("loss: 99")': ""}})
    (found,) = task.check(run_baseline=True)
    assert "rung 'short' ended with exit" in found and "NameError" in found
