"""What cannot be found is asked at a terminal, with defaults; elsewhere it is an error that names an option."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
import tomllib

import pytest

TWO = {"fit_a.py": "ALPHA = 0.5\nprint('x', ALPHA)\n", "fit_b.py": "BETA = 3\nprint('blurb:', BETA)\n"}
CTRL_C = "\x03"
BOTH = {"train.py": "LR = 0.25\nprint('val_loss:', LR)\nprint('val_acc:', 1 - LR)\n"}


def at_terminal(answers, *args, cwd, **env):
    """Run `bilevel init` at a pseudo-terminal, typing each answer once its question stands there: (code, text)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bilevel", "init", *map(str, args)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env={**os.environ, **env}, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    text, seen, todo = "", 0, list(answers)
    until = time.monotonic() + 240
    pressed = False
    with contextlib.suppress(OSError):  # the other side was closed: it has ended
        while time.monotonic() < until:
            if not select.select([ours], [], [], 1.0)[0]:
                if pressed:  # a signal between the prompt and the reading is not seen, and a person presses again
                    process.send_signal(signal.SIGINT)
                continue
            data = os.read(ours, 4096)
            if not data:
                break
            text += data.decode("utf-8", "replace")
            if todo and (place := text.find(todo[0][0], seen)) >= 0:
                seen = place + len(todo[0][0])
                answer = todo.pop(0)[1]
                if pressed := answer == CTRL_C:
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(ours, answer.encode())
    os.close(ours)
    assert not todo, (todo, text)
    return process.wait(timeout=60), text.replace("\r\n", "\n")


def refused(done, *words):
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr
    assert "\nTraceback" not in f"\n{done.stderr}"


@pytest.mark.slow
def test_two_scripts_are_a_question_and_so_is_a_direction(repository, bilevel, tmp_path):
    root = repository(TWO)
    code, text = at_terminal(
        [("Enter for 1: ", "7\n"), ("Enter for 1: ", "2\n"), ("Enter for 1: ", "2\n")], root, cwd=tmp_path
    )
    assert code == 0, text
    assert "'7' is not one of 1 to 2" in text and "Is blurb better" in text
    task = tomllib.loads((root / ".bilevel" / "task.toml").read_text())
    assert task["command"]["run"] == ["{python}", "fit_b.py"]
    assert task["objective"] == {"metric": "blurb", "direction": "maximize", "self_reported": True}
    assert bilevel("check", root / ".bilevel").returncode == 0
    assert bilevel("run", "--task", root / ".bilevel", "--trials", 3).returncode == 0


@pytest.mark.slow
def test_enter_takes_the_default(repository, tmp_path):
    root = repository(BOTH)
    code, text = at_terminal([("Enter for 1: ", "\n")], root, cwd=tmp_path)
    assert code == 0, text
    assert "Which number is to be improved?" in text and "val_acc = 0.75" in text and "maximize (change" in text


@pytest.mark.slow
def test_a_command_that_fails_can_be_replaced_at_the_terminal(repository, tmp_path):
    root = repository({"train.py": "raise SystemExit('no such luck')\n", "sub/ok.py": "print('loss: 1')\n"})
    code, text = at_terminal([("Which command measures it?", "python sub/ok.py\n")], root, cwd=tmp_path)
    assert code == 0, text
    assert "no such luck" in text and "metric     loss = 1" in text


@pytest.mark.slow
def test_ctrl_c_writes_nothing(repository, tmp_path):
    root = repository(TWO)
    code, text = at_terminal([("Enter for 1: ", CTRL_C)], root, cwd=tmp_path)
    assert code == 2 and "before anything was written" in text and not (root / ".bilevel").exists()


def test_yes_at_a_terminal_asks_nothing(repository, tmp_path):
    code, text = at_terminal([], repository(TWO), "--yes", cwd=tmp_path)
    assert code == 2 and "--command" in text


def test_without_a_terminal_nothing_is_asked(repository, bilevel):
    root = repository(TWO)
    refused(bilevel("init", root), "--command", "python fit_a.py", "python fit_b.py")
    assert not (root / ".bilevel").exists()


def test_a_number_that_is_none_is_said_so(repository, bilevel):
    root = repository({"train.py": "RATE = 0.5\nprint('loss: nan')\n"})
    refused(bilevel("init", root), "'loss: nan'", "--metric NAME")


def test_two_metrics_as_likely_need_an_option(repository, bilevel):
    root = repository(BOTH)
    refused(bilevel("init", root, "--yes"), "--metric", "val_loss", "val_acc")
    assert bilevel("init", root, "--yes", "--metric", "acc").returncode == 0
    assert 'metric = "val_acc"' in (root / ".bilevel" / "task.toml").read_text()


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ({"notes.txt": "x"}, [], ["No command was found", "--command"]),
        ({"train.py": "print('loss: 1')"}, ["--command", "python nothing.py"], ["nothing.py", "is not among"]),
        ({"train.py": "print('loss: 1')"}, ["--metric", "bleu"], ["'bleu'", "loss", "--metric seconds"]),
        ({"train.py": "print('blurb: 1')"}, [], ["blurb", "--goal"]),
        ({"train.py": "import nowhere_to_be_found"}, [], ["nowhere_to_be_found", "--python"]),
        ({"train.py": "import os; os.environ['MY_DATA']"}, [], ["MY_DATA", "--env"]),
        ({"train.py": "while True: pass"}, ["--time-limit", "0.5"], ["--time-limit", "time-out"]),
        ({"train.py": "print('hello')"}, [], ["no `name: number`", "--metric NAME"]),
        ({"train.py": "print('loss: 1')"}, ["--out", "."], ["holds the source"]),
    ],
)
def test_what_cannot_be_used_is_told_with_the_way_out(repository, bilevel, files, options, words):
    root = repository(files)
    refused(bilevel("init", ".", "--yes", *options, cwd=root), *words)
    assert sorted(path.name for path in root.iterdir()) == sorted(files)


def test_a_path_that_is_not_there(bilevel):
    refused(bilevel("init", "nothing"), "'nothing'")


def test_an_existing_task_is_kept_unless_forced(repository, bilevel):
    root = repository({"train.py": "RATE = 0.1\nprint('loss:', RATE)\n"})
    assert bilevel("init", root, "--yes").returncode == 0
    task = root / ".bilevel" / "task.toml"
    task.write_text(mine := task.read_text() + "# mine\n")
    refused(bilevel("init", root, "--yes"), "--force", "nothing was changed")
    assert task.read_text() == mine
    assert bilevel("init", root, "--yes", "--force").returncode == 0
    assert "# mine" not in task.read_text()
    assert tomllib.loads(task.read_text()) == tomllib.loads(mine)


def test_the_report_says_what_was_guessed_and_what_comes_next(repository, bilevel):
    root = repository(
        {"train.py": "RATE = 0.1\nlr = 3\nprint('loss:', RATE)\n", "Makefile": "train:\n\tpython train.py\n"}
    )
    done = bilevel("init", "--yes", cwd=root)
    for part in (
        "wrote task.toml, brief.md, recipe.toml into .bilevel/", "command    python train.py",
        "target train of Makefile, train.py", "metric     loss = 0.1", "minimize", "RATE = 0.1: 0.00333 to 3",
        "protected  Makefile (how it is built and run)", "bilevel check .bilevel", "bilevel run .bilevel/recipe.toml",
    ):  # fmt: skip
        assert part in done.stdout, done.stdout


def test_without_numbers_a_language_model_is_asked_for(repository, bilevel):
    root = repository({"main.py": "print('score:', len('abc'))\n"})
    done = bilevel("init", "--yes", cwd=root)
    assert done.returncode == 0 and "bilevel run .bilevel/recipe.toml --model PROVIDER:MODEL" in done.stdout
    assert 'researcher = "llm"' in (root / ".bilevel" / "recipe.toml").read_text()
    assert bilevel("check", ".bilevel", cwd=root).returncode == 0
