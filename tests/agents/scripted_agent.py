"""A coding agent that does what its arguments say: `python scripted_agent.py BEHAVIOUR [ARGUMENT ...]`.

It runs as a program, in a working copy, as claude or codex would.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve()


def edit(path, old, new):
    text = Path(path).read_bytes().decode()
    assert old in text, f"{path} has no {old!r}"
    Path(path).write_bytes(text.replace(old, new).encode())


def propose(**what):
    Path("PROPOSAL.json").write_text(json.dumps(what))


# ---- agents that behave ----


def good(*_):
    """Halve the slope, and say why."""
    edit("model.py", "SLOPE = 3.0", "SLOPE = 1.5")
    propose(why="the slope is too steep", predicted_gain=0.5)


def step(log, *_):
    """Bring the offset nearer by one, or by a little more at each call; each call is counted in a file outside."""
    with open(log, "a") as file:
        file.write("asked\n")
    number = Path(log).read_text().count("\n")
    here = float(Path("parts/shape.py").read_text().split("return ")[1])
    Path("parts/shape.py").write_text(f"def offset():\n    return {here - 1.0 - number / 100}\n")
    propose(why=f"call {number}")


def new_file(*_):
    Path("parts/more.py").write_text("WIDTH = 2\n")
    edit("parts/shape.py", "return 8.0", "return 4.0")


def by_proposal(*_):
    propose(why="only a value", changes={"SLOPE": 2.0})


def says_usage(*_):
    good()
    usage = {"input_tokens": 100, "cache_read_input_tokens": 20, "output_tokens": 7}
    print(json.dumps({"type": "result", "usage": usage, "total_cost_usd": 0.25, "result": "Done: halved the slope."}))


def reports_briefing(*words):
    """Put what it was told where its answer can be seen."""
    text = Path("BRIEFING.md").read_text()
    Path("parts/shape.py").write_text(f"# {words!r}\nSEEN = {text!r}\n\n\ndef offset():\n    return 7.0\n")


def reports_environment(*_):
    env = json.dumps(dict(os.environ))
    Path("parts/shape.py").write_text(f"ENV = {env!r}\n\n\ndef offset():\n    return 7.0\n")


def reports_repository(*_):
    def git(*arguments):
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout

    facts = [git("status", "--porcelain"), git("log", "--format=%s"), " ".join(sorted(git("ls-files").split()))]
    Path("parts/shape.py").write_text(f"FACTS = {facts!r}\n\n\ndef offset():\n    return 7.0\n")


# ---- agents that do not ----


def nothing(*_):
    print("I could not think of anything.")


def asks(*_):
    answer = input("Shall I go on? ")
    print("answered", repr(answer))


def asks_and_goes_on(*_):
    good()
    answer = sys.stdin.read()
    assert answer == ""


def protected(*_):
    edit("data.py", "TARGET", "TARGETS")
    Path("README.md").write_text("mine now\n")
    Path("elsewhere.txt").write_text("not asked for\n")
    good()


def deletes_all(*_):
    for path in Path(".").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def deletes_its_folder(*_):
    here = Path.cwd()
    os.chdir("/")
    shutil.rmtree(here)


def replaces_its_folder(outside, *_):
    here = Path.cwd()
    os.chdir("/")
    shutil.rmtree(here)
    here.symlink_to(outside)


def replaces_all(outside, *_):
    """Put a link in the place of the folder above, too."""
    above = Path.cwd().parent
    os.chdir("/")
    shutil.rmtree(above)
    above.symlink_to(outside)


def survivors(pids, *_):
    """Leave processes behind: in the background, in a session of their own, and without a parent."""
    code = f"import os, time; open({pids!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code])
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (0, 1, 2):
                os.close(number)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            os.execv(sys.executable, [sys.executable, "-c", code])
        os._exit(0)
    while not Path(pids).exists() or Path(pids).read_text().count("\n") < 3:
        os.sched_yield()
    good()


def endless(*_):
    good()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def endless_for_nothing(*_):
    while True:
        signal.pause()


def links(outside, *_):
    Path("parts/shape.py").unlink()
    Path("parts/shape.py").symlink_to(outside)
    Path("parts/linked.py").symlink_to(outside)
    os.link(outside, "parts/hard.py")
    os.mkfifo("parts/pipe.py")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("parts/socket.py")
    Path("parts/folder.py").mkdir()
    good()


def linked_folder(outside, *_):
    shutil.rmtree("parts")
    Path("parts").symlink_to(Path(outside).parent)
    good()


def commits(*_):
    good()
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "mine"], check=True)


def rewrites_history(planted, *_):
    good()
    command = f"#!/bin/sh\ntouch {planted}\n"
    Path("hook.sh").write_text(command)
    Path("hook.sh").chmod(0o755)
    Path(".git/hooks").mkdir(exist_ok=True)
    for name in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
        Path(".git/hooks", name).write_text(command)
        Path(".git/hooks", name).chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(Path("hook.sh").resolve())], check=True)
    subprocess.run(["git", "-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--amend",
                    "--allow-empty", "--message", "other", "--no-verify"], check=True)  # fmt: skip


def large_file(*_):
    good()
    with open("large.bin", "wb") as file:
        while True:
            file.write(b"x" * (1 << 20))


def much(*_):
    good()
    for number in range(10**6):
        Path(f"much{number}.bin").write_bytes(b"x" * (1 << 20))


def many_files(*_):
    good()
    for number in range(10**6):
        Path(f"parts/many{number}.py").touch()


def large_text(*_):
    Path("parts/shape.py").write_text("def offset():\n    return 1.0\n" + "# more\n" * 300_000)
    good()


def prints(*_):
    good()
    while True:
        os.write(1, b"and another thing\n" * 10_000)


def prints_binary(*_):
    good()
    os.write(1, bytes(range(256)) * 64)
    os.write(2, b"\xff\xfe\x00 last \x1b[31mwords\xf0\x9f")


def lies_about_usage(*_):
    good()
    print('{"type": "result", "usage": {"input_tokens": -5, "output_tokens": 1e99}, "total_cost_usd": NaN}')


def modes(*_):
    good()
    Path("model.py").chmod(0o755)
    Path("parts/shape.py").chmod(0)
    Path("parts").chmod(0)


def not_text(*_):
    Path("parts/shape.py").write_bytes(b"# \xff\xfe\n")
    Path("parts/null.py").write_bytes(b"X = '\0'\n")
    Path(os.fsdecode(b"parts/na\xffme.py")).write_text("X = 1\n")
    Path("parts/line\nbreak.py").write_text("X = 1\n")
    good()


def fails_after(*_):
    good()
    print("Error: quota exceeded", file=sys.stderr)
    sys.exit(1)


def fails(*_):
    print("Error: no key", file=sys.stderr)
    sys.exit(3)


def crashes(*_):
    good()
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def kills_its_supervisor(*_):
    good()
    os.kill(os.getppid(), signal.SIGKILL)
    while True:
        signal.pause()


def bad_proposal(*_):
    good()
    Path("PROPOSAL.json").write_text('{"why": "' + "x" * 100)


def odd_proposal(*_):
    good()
    Path("PROPOSAL.json").write_text('{"why": "\\ud800", "predicted_gain": NaN, "()": [1]}')


def linked_proposal(outside, *_):
    good()
    Path("PROPOSAL.json").unlink()
    Path("PROPOSAL.json").symlink_to(outside)


def deep(*_):
    """Folders deeper than a path can be long."""
    good()
    for _ in range(300):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    Path("bottom.py").write_text("X = 1\n")


def in_turn(log, *_):
    """One misdeed after the other, one for each call, and a good change at the end."""
    with open(log, "a") as file:
        file.write("asked\n")
    number = Path(log).read_text().count("\n")
    deeds = (deletes_all, fails, not_text, protected_only, commits_nothing, asks)
    if number <= len(deeds):
        deeds[number - 1]()
    else:
        good()


def protected_only(*_):
    edit("data.py", "TARGET = 1.0", "TARGET = 3.0")


def commits_nothing(*_):
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "--message", "mine"], check=True)


def constants_and_code(*_):
    edit("model.py", "SLOPE = 3.0", "SLOPE = 2.5")
    edit("model.py", "loss: ", "loss: 0")


def fakes(*words):
    """What an installed agent would see: its arguments, and which keys."""
    facts = {"words": words, "names": sorted(name for name in os.environ if "KEY" in name or "TOKEN" in name)}
    Path("parts/shape.py").write_text(f"FACTS = {json.dumps(facts)!r}\n\n\ndef offset():\n    return 7.0\n")


# ---- what cannot be used, and is mended when it is told ----


def broken(log, *_):
    """Break the syntax; when asked again, mend it."""
    with open(log, "a") as file:
        file.write(Path("BRIEFING.md").read_text() + "\0")
    if "return 5.0 +" in Path("parts/shape.py").read_text():
        edit("parts/shape.py", "return 5.0 +", "return 5.0 + 0.5")
    else:
        edit("parts/shape.py", "return 8.0", "return 5.0 +")


def slips(log, *_):
    """Write code that raises; mend it in the next trial."""
    briefing = Path("BRIEFING.md").read_text()
    with open(log, "a") as file:
        file.write(briefing + "\0")
    if "return five" in Path("parts/shape.py").read_text():
        assert "NameError" in briefing
        edit("parts/shape.py", "return five", "return 5.0")
    else:
        edit("parts/shape.py", "return 8.0", "return five")


def locked(*_):
    edit("model.py", "SEED = 7", "SEED = 8")


def waits_once(log, fifo, *_):
    """A whole change each time; half a change and then nothing the second time."""
    with open(log, "a") as file:
        file.write("asked\n")
    if Path(log).read_text().count("\n") == 2:
        edit("model.py", "SLOPE = 3.0", "SLOPE = 0.5")
        with open(fifo, "w") as told:
            told.write("waiting\n")
            told.flush()
            while True:
                signal.pause()
    here = float(Path("parts/shape.py").read_text().split("return ")[1])
    Path("parts/shape.py").write_text(f"def offset():\n    return {here - 1.0}\n")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
