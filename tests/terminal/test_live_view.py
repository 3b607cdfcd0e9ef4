"""The live view of a run: in a real terminal, of a run that goes on elsewhere, and of whatever a store holds."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import replace
from pathlib import Path

import in_process
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from bilevel.budget import Cost
from bilevel.cli.board import ARMS, bar, board, clock
from bilevel.cli.inspecting import opened
from bilevel.cli.printing import Shown
from bilevel.cli.progress import Progress
from bilevel.lab import Branch
from bilevel.length import planned_evaluations
from bilevel.space import Candidate
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader
from bilevel.trial import Decision, Pending, Proposal, Run, Status, Step, Trial

EXAMPLE = Path(__file__).parents[2] / "examples" / "smollm2-gpt" / "run"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e[red]x[/]"


class Terminal:
    """A command in a terminal of its own; what it wrote, without colours and moves of the cursor."""

    def __init__(self, *args, cwd, columns=120, rows=30):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
        command = [sys.executable, "-m", "bilevel", *map(str, args)]
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**env, "TERM": "xterm-256color"}, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.raw, self._master, self._more = b"", master, threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # Linux: the other end is closed
                data = b""
            with self._more:
                self.raw += data
                self._more.notify_all()
            if not data:
                return

    @property
    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode("utf-8", "replace"))

    def wait_for(self, words):
        with self._more:
            assert self._more.wait_for(lambda: words in self.text, timeout=300), self.text[-3000:]

    def end(self):
        code = self.process.wait(timeout=300)
        self._thread.join(timeout=60)
        os.close(self._master)
        return code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with forks, mechanisms and a claim stage."""
    root = tmp_path_factory.mktemp("run")
    done = in_process.run("run", "d", "--task", "gpt-table", "--inner-budget", 5, "--outer-cycles", 2, "--folder", "it",
                          cwd=root)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root / "it"


def seen(path, clock=lambda: 0.0):
    """The progress of a run folder as it is."""
    with opened(path) as found:
        progress = Progress(found.spec, planned_evaluations(found.spec), clock)
        progress.hear(found.folder.store)
        progress.update(found.folder.store)
    return progress


def shown(progress, *, state="running", height=40, width=140, colour=False):
    out = io.StringIO()
    console = Shown(file=out, width=width, force_terminal=colour, no_color=not colour, emoji=False)
    console.print(board(progress, "it", state, height, width))
    return out.getvalue()


# ---- in a terminal ----


@pytest.mark.slow
def test_a_run_in_a_terminal_shows_the_view_and_then_its_summary(tmp_path):
    terminal = Terminal(
        "run", "d", "--task", "sphere", "--inner-budget", 3, "--outer-cycles", 1, "--folder", "it", cwd=tmp_path
    )
    assert terminal.end() == 0, terminal.text[-2000:]
    said = terminal.text
    for words in ("d on sphere, it · running", "level 2 (mechanisms)", "└ level 1 (inner)", "best so far",
                  "against the best", " measurements", "cost per level", "run folder: it"):  # fmt: skip
        assert words in said
    assert b"\x1b[" in terminal.raw and "discard: " not in said.partition("cost per level")[0].rpartition("Finished")[0]


def test_without_a_terminal_there_are_plain_lines(tmp_path):
    done = in_process.run("run", "a", "--task", "sphere", "--trials", 3, "--folder", "it", cwd=tmp_path)
    assert "level 1 (inner) 1: " in done.stdout and "\x1b" not in done.stdout and "against the best" not in done.stdout
    watched = in_process.run("status", "it", "--watch", cwd=tmp_path)
    assert watched.returncode == 0 and watched.stdout.endswith("finished · it\n")
    lines = [line for line in done.stdout.splitlines() if re.match(r"level 1 \(inner\) \d+:", line)]
    assert lines == watched.stdout.splitlines()[:-1] and len(lines) == 4


@pytest.mark.slow
def test_a_run_that_goes_on_elsewhere_is_watched_until_it_ends(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)  # this process holds it, so somebody is at work on it
    folder.set_meta("state", "running")
    folder.store.open_branch(Branch("root", "inner"))
    terminal = Terminal("status", "it", "--watch", cwd=tmp_path)
    terminal.wait_for("best so far: none yet")
    folder.store.add_pending("root", pending(0))
    terminal.wait_for("measuring")
    folder.store.add_trial("root", trial(0, 4.0, keep=True))
    terminal.wait_for("best so far 4")
    folder.set_meta("state", "paused")
    terminal.wait_for("it · paused")
    folder.set_meta("state", "running")
    folder.store.add_trial("root", trial(1, 2.5, keep=True))
    terminal.wait_for("best so far 2.5")
    assert terminal.process.poll() is None
    folder.set_meta("state", "finished")
    assert terminal.end() == 0 and "finished · it" in terminal.text
    folder.close()


@pytest.mark.slow
def test_ctrl_c_ends_the_watching_and_nothing_else(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)
    folder.set_meta("state", "running")
    folder.store.open_branch(Branch("root", "inner"))
    terminal = Terminal("status", "it", "--watch", cwd=tmp_path)
    terminal.wait_for("best so far: none yet")
    terminal.process.send_signal(2)
    assert terminal.end() == 0 and "running · it" in terminal.text and "Traceback" not in terminal.text
    assert folder.meta("state") == "running"
    folder.close()


def test_a_run_whose_process_is_gone_is_said_to_be_interrupted(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)
    folder.set_meta("state", "running")
    folder.store.open_branch(Branch("root", "inner"))
    folder.close()
    (tmp_path / "it" / "lock").write_text(f"process 999999999 on {os.uname().nodename}")
    done = in_process.run("status", "it", "--watch", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "interrupted · it\n"


# ---- what it shows ----


def test_levels_are_nested_and_the_last_decisions_stand_in_their_order(run):
    said = shown(seen(run), state="finished")
    rows = said.splitlines()
    outer = next(n for n, line in enumerate(rows) if line.startswith("level 2 (mechanisms)"))
    assert rows[outer + 1].startswith("└ level 1 (inner)")
    listed = [line for line in rows if re.match(r"level [12](,| )", line) and "(" not in line[:12]]
    with opened(run) as found:
        last = found.folder.store.trials("root")[-1]
    assert listed[0].startswith("level 2") and f" {last.number} " in listed[0]
    assert "control" in listed[1] and "challenger" in "".join(listed)


def test_the_ledger_is_the_sum_over_all_arms_and_the_verdict_the_last_one(run):
    progress = seen(run)
    status = json.loads(in_process.run("status", run, "--json", cwd=run).stdout)
    assert progress.in_force == tuple(status["in_force"])
    for mechanism in status["mechanisms"]:
        assert progress.verdicts[mechanism["name"]] == mechanism["said"]
        for hook, counts in mechanism["ledger"].items():
            assert progress.ledger[mechanism["name"]][hook].calls >= counts["calls"]
    assert progress.curve[-1] == status["best"] or status["claim"] is not None
    assert progress.measured == status["charged"]


def test_an_outer_trial_comes_after_those_that_it_is_made_of(run):
    ended = [(one.branch, one.trial.number) for one in seen(run).recent]
    branches = [branch for branch, _ in ended]
    assert len(set(ended)) == len(ended) > 15 and "root" in branches
    for place, (branch, number) in enumerate(ended):
        arms = [other for other, (name, _) in enumerate(ended) if name.startswith(f"{branch}/{number}.")]
        assert not arms or max(arms) == place - 1
        assert (branch, number + 1) not in ended[:place]


def test_it_grows_with_what_is_new_as_if_it_had_seen_all_at_once(run):
    """Taken in one by one, trials leave what a single look at all of them leaves."""
    whole = seen(run)
    with opened(run) as found:
        part = Progress(found.spec, whole.planned, lambda: 0.0)
    store = Slowly(run, [(one.branch, one.trial.number) for one in whole.recent])
    while store.more():
        part.hear(store)
        part.update(store)
    store.close()
    for name in ("curve", "measured", "ledger", "verdicts", "in_force", "noise", "last", "recent", "rounds", "limits"):
        assert getattr(part, name) == getattr(whole, name), name


class Slowly(Reader):
    """A store in which one trial after the other appears."""

    def __init__(self, folder, order):
        super().__init__(folder)
        self._order, self._there = order, 0

    def more(self):
        self._there += 1
        return self._there <= len(self._order)

    def written(self):
        return self._there

    def trials(self, branch_id, after=-1):
        there = {number for branch, number in self._order[: self._there] if branch == branch_id}
        return [one for one in super().trials(branch_id, after) if one.number in there]


def test_what_is_under_way_is_shown_with_its_author_and_time(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)
    folder.store.open_branch(Branch("root", "inner"))
    folder.store.add_trial("root", trial(0, 4.0, keep=True))
    for number in (1, 2):
        folder.store.add_pending("root", pending(number))
    now = [100.0]
    with opened(tmp_path / "it") as found:
        progress = Progress(found.spec, 10, lambda: now[0])
        progress.update(found.folder.store)
        now[0] += 75
        progress.update(found.folder.store)
        said = shown(progress)
    folder.close()
    for number in (1, 2):
        assert re.search(rf"level 1 \(inner\) +{number} +somebody +x0 1.0 -> {number + 1}.0 +measuring +1:15", said)


def test_what_waits_for_a_person_is_said(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)
    folder.store.open_branch(Branch("root", "inner"))
    assert "person" not in shown(seen(tmp_path / "it"))
    folder.set_meta("gate", {"id": "keep root#1", "said": "keep trial 1 of branch root", "at": 0.0})
    assert "waits for a person: keep trial 1 of branch root" in shown(seen(tmp_path / "it"))
    folder.close()


def test_limits_are_shown_with_the_share_that_is_spent(tmp_path, config):
    config["recipe"]["limits"] = {"seconds": 100.0, "tokens": 1000, "money": 2.0}
    folder = RunFolder.create(tmp_path / "it", config)
    folder.store.open_branch(Branch("root", "inner"))
    now = [0.0]
    with opened(tmp_path / "it") as found:
        progress = Progress(found.spec, 10, lambda: now[0])
        progress.update(found.folder.store)
        now[0] = 80.0
        progress.cost = Cost(tokens=250, money=0.5)
        progress.calls = 3
        said = shown(progress, width=200)
        assert "1:20 of 1:40" in said and "80%" in said
        assert "250 of 1,000 tokens" in said and "25%" in said and "0.5000 of 2 US dollars" in said
        folder.set_meta("limits", {"seconds": 400.0, "tokens": 1000, "money": 2.0})
        progress.update(found.folder.store)
        assert "1:20 of 6:40" in shown(progress)
    folder.close()


def test_a_failure_has_no_bar_and_the_empty_run_no_row(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)
    folder.store.open_branch(Branch("root", "inner"))
    assert "nothing yet" in shown(seen(tmp_path / "it"))
    folder.store.add_trial("root", trial(0, 4.0, keep=True))
    folder.store.add_trial("root", trial(1, None, said="it broke"))
    said = shown(seen(tmp_path / "it"))
    row = next(line for line in said.splitlines() if "it broke" in line)
    assert "exit" in row and "●" not in row
    folder.close()


def test_no_text_of_others_steers_the_terminal(tmp_path, config):
    folder = RunFolder.create(tmp_path / "it", config)
    folder.store.open_branch(Branch("root", "inner"))
    folder.store.add_trial("root", trial(0, 4.0, keep=True))
    folder.store.add_trial("root", trial(1, 2.0, said=HOSTILE, author=HOSTILE, keep=True))
    folder.store.add_pending("root", pending(2, author=HOSTILE))
    said = shown(seen(tmp_path / "it"), colour=True, width=200)
    folder.close()
    assert "owned" in said and "[red]x" in said
    assert not any(bad in said for bad in ("\x1b]", "\x1b[2J", "\u202e"))


@pytest.mark.parametrize(("height", "width"), [(12, 60), (24, 80), (50, 200)])
def test_it_keeps_within_the_terminal(run, height, width):
    lines = shown(seen(run), height=height, width=width).splitlines()
    assert len(lines) <= max(height, 16) and all(cell_len(line) <= width for line in lines)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3))
def test_a_bar_has_its_mark_on_the_side_of_the_gain(gain, margin):
    line = bar(gain, margin).plain
    place = line.index("●")
    assert len(line) == 2 * ARMS + 1 and line.count("●") == 1
    assert place >= ARMS if gain > 0 else place <= ARMS
    if margin > 0 and abs(gain) > 2 * margin:
        assert place in (0, 2 * ARMS)


@given(st.integers(0, 10**6))
def test_a_clock_says_the_seconds(seconds):
    parts = [int(part) for part in clock(seconds).removesuffix(" s").split(":")]
    total = 0
    for part in parts:
        total = total * 60 + part
    assert total == seconds


# ---- any single thing ----


def test_a_trial_says_where_it_began_and_what_was_asked(run):
    done = in_process.run("show", EXAMPLE, "--branch", "root/0.only/1.only", "--trial", 10, cwd=run)
    for words in ("level 1 (inner), branch root/0.only/1.only, from the candidate of trial 0",
                  "asked in the calls 26, 27, 28", "kept: better than its parent", "val_bpb 3.56672", "progress 1.000",
                  "SCALAR_LR 0.5 -> 0.02857"):  # fmt: skip
        assert words in done.stdout
    call = in_process.run("show", EXAMPLE, "--call", 28, cwd=run)
    assert "what came of it" in call.stdout and "trial 10: SCALAR_LR 0.5 -> 0.02857" in call.stdout


def test_a_trial_that_a_branch_took_over_is_its_parents(run):
    with opened(run) as found:
        branch = next(one for one in found.folder.store.branches() if one.parent and one.at > 1)
    own = in_process.run("show", run, "--branch", branch.id, "--trial", branch.at, cwd=run).stdout
    taken = in_process.run("show", run, "--branch", branch.id, "--trial", 1, cwd=run).stdout
    assert f"branch {branch.id}," in own and f"branch {branch.id}," not in taken and "branch root" in taken


# ---- made by hand ----


@pytest.fixture
def config(run, sphere):
    return json.loads((sphere / "run.json").read_text())


@pytest.fixture(scope="module")
def sphere(tmp_path_factory):
    place = tmp_path_factory.mktemp("sphere")
    done = in_process.run("run", "a", "--task", "sphere", "--trials", 1, "--folder", "it", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "it"


def candidates(number):
    old = Candidate({"x0": 1.0})
    return old, Candidate({"x0": 1.0 + number}) if number else old


def trial(number, score, said="said", author="somebody", keep=False):
    old, new = candidates(number)
    status = Status.OK if score is not None else Status.EXIT
    done = Run("full", 0, status, None if score is None else {"loss": score}, Cost(evaluations=1), log=said)
    proposal = Proposal(new, said, author)
    return Trial(number, old, proposal, (done,), status, score, Decision(keep, said), new.changes_from(old))


def pending(number, author="somebody"):
    old, new = candidates(number)
    made = Pending(number, number, old, Proposal(new, "why", author), (Step("full"),))
    return replace(made, changes=new.changes_from(old))
