"""What a run prints of the ladder, and that each key of a recipe that belongs to it does what it says."""

import json
import subprocess
import sys

import pytest

from bilevel.lab import Traces
from bilevel.objective import Objective
from bilevel.store.reader import Reader

HEAD = 'name = "mine"\ntitle = "a test"\ntask = "sphere"\n'
LEVEL_2 = (
    '[[outer]]\nlevel = "mechanisms"\ntrials = {trials}\ncycles = {cycles}\nstart = "{start}"\nresearcher = "{by}"\n'
)
ONE_HOOK = '''from bilevel.mechanism import Mechanism


class Mine(Mechanism):
    """Does nothing but in the search that it was made for, which has a parameter of that name."""

    domain = "test"

    def propose(self, view, parent, proposals):
        if "centre" in view.space.domains:
            {what}
        return proposals
'''
LOOPS = ONE_HOOK.format(what="total = sum(n for n in range(10**12))")
HOLDS = ONE_HOOK.format(what='held = "x" * (200 * 2**20)')
FAILS = ONE_HOOK.format(what='raise ValueError("broken on purpose")')
HARMS = ONE_HOOK.format(
    what='return [type(p)(parent.with_params(depth=1 + view.number * 5 % 11, x0=4.9), "far off") for p in proposals]'
)
FREEZES = FAILS.partition("    def propose")[0] + (
    '    def constrain(self, view, space):\n        return space.freeze(space.active[1:3], "fewer at a time")\n'
)
MENDER = f"""
from bilevel.mechanism import Guest
from bilevel.surfaces import mechanism_set
from bilevel.trial import Proposal

IDLE = '''{ONE_HOOK.format(what="pass")}'''
BAD = '''import socket\\n{ONE_HOOK.format(what="pass")}'''
GOOD = '''{FREEZES}'''


class Mender:
    name = "mender"
    reads_advice = False
    free = True

    def propose(self, view, parent, briefing):
        return [Proposal(mechanism_set((Guest("mended", (BAD, IDLE, GOOD)[min(len(briefing.turned_back), 2)]),)))]
"""


def level_2(*, by="library", trials=3, cycles=3, start="fork", more=""):
    return LEVEL_2.format(by=by, trials=trials, cycles=cycles, start=start) + more


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe and the files that it needs; returns its name."""

    def write(text, **files):
        for name, source in files.items():
            (tmp_path / f"{name}.py").write_text(source)
        (tmp_path / "mine.toml").write_text(HEAD + text)
        return "mine.toml"

    return write


@pytest.fixture
def ran(bilevel_json, recipe):
    """Run a recipe's text in the folder `run`; returns the summary."""

    def run(text, *options, **files):
        return bilevel_json("run", recipe(text, **files), "--folder", "run", *options)

    return run


def inner(mechanism="", **keys):
    mechanisms = f'mechanisms = ["{mechanism}"]\n' if mechanism else ""
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[inner]\nresearcher = "random"\ntrials = 5\n{mechanisms}[inner.settings]\nmax_faults = 1\n{more}'


# ---- what is shown ----


@pytest.mark.slow
def test_each_trial_of_a_mechanism_shows_its_rungs_and_the_drafts_that_were_turned_back_before(
    ran, bilevel, bilevel_json
):
    summary = ran(level_2(by="python:mender:Mender", cycles=2), mender=MENDER)
    (tried,) = summary["mechanisms"]
    assert [(climb["rung"], climb["outcome"]) for climb in tried["refused"]] == [
        ("door", "refused"),
        ("replay", "inert"),
    ]
    assert [climb["rung"] for climb in tried["climbs"]] == ["door", "replay", "rehearsal", "trial"]
    assert len({climb["source"] for climb in tried["climbs"]} | {climb["source"] for climb in tried["refused"]}) == 3
    text = bilevel("status", "run").stdout
    assert "ladder: door passed in " in text and "replay passed: constrain decisive " in text
    assert "rehearsal off · trial " in text
    refusals = [line for line in text.splitlines() if "draft turned back: mended" in line]
    assert len(refusals) == 2 and "socket" in refusals[0] and "no decision would have been another" in refusals[1]
    assert "`bilevel show RUN --branch root --trial 1` has the whole" in text
    whole = bilevel("show", "run", "--branch", "root", "--trial", "1").stdout
    assert whole.count("ladder, mended (") == 7 and "isolation in force: runs: none; mechanisms: " in whole
    assert "synthetic landscape (40 trials)" in " ".join(whole.split())
    stored = bilevel_json("show", "run", "--branch", "root", "--trial", "1")
    assert len(stored["climbs"]) == 7 and stored["isolation"].startswith("runs: none; mechanisms: ")


@pytest.mark.slow
def test_a_trial_in_which_no_draft_came_through_says_so_and_shows_no_ledger(ran, bilevel):
    summary = ran(level_2(by="library:only:placebo", cycles=2))
    (tried,) = summary["mechanisms"]
    assert not tried["ran"] and tried["climbs"] == [] and tried["refused"]
    assert {climb["outcome"] for climb in tried["refused"]} == {"inert"}
    text = bilevel("status", "run").stdout
    assert "inert: it changed no decision" in text and "never called" not in text
    (standing,) = summary["ladder"]["standings"]
    assert (standing["rung"], standing["outcome"], standing["since"]) == ("replay", "inert", None)
    assert "inert in trial 1: no decision would have been another" in text


@pytest.mark.slow
def test_the_verdict_over_all_forks_stands_where_there_is_a_control_and_its_words_are_explained_before(ran, bilevel):
    summary = ran(level_2(by="library:only:orthogonal", trials=4, cycles=4, more="proof_share = 0.0\n"))
    for tried in summary["mechanisms"]:
        assert tried["said"].startswith(tried["verdict"]["word"]) or tried["said"].startswith("confirmed")
    text = bilevel("status", "run").stdout
    verdict = next(m for m in summary["mechanisms"] if m["verdict"]["forks"])
    assert f"all its forks so far: {verdict['said']}" in text
    assert "likely positive, e-value" in verdict["said"] and f"{verdict['verdict']['word']}: " in text
    assert text.index(f"\n{verdict['verdict']['word']}: ") < text.index("level 2, trial 1")
    last = summary["mechanisms"][-1]
    standing = next(s for s in summary["ladder"]["standings"] if s["source"] == last["climbs"][0]["source"])
    assert standing["rung"] == "trial" and standing["said"] == last["said"]


@pytest.mark.slow
def test_words_are_explained_once_in_the_lines_of_a_run_that_goes_on(bilevel, recipe):
    name = recipe(level_2(by="library:only:orthogonal", cycles=4))
    lines = bilevel("run", name, "--folder", "run").stdout.partition("Finished in")[0].splitlines()
    rungs = [line for line in lines if "ladder: " in line]
    assert len(rungs) == 3
    explained = [line for line in lines if line.startswith("  undecided: ")]
    assert len(explained) == 1 and lines.index(explained[0]) == lines.index(rungs[0]) + 1
    shown = bilevel("mechanisms", "show", "orthogonal", "--run", "run").stdout
    assert "undecided: not evidence either way yet" in shown


@pytest.mark.slow
def test_a_mechanism_that_hurts_is_left_out_for_good_and_the_section_says_why(ran, bilevel):
    text = inner("harms.py") + level_2(by="library:only:placebo", cycles=9, more="proof_share = 1.0\n")
    summary = ran(text, "--task", "sphere:dimensions=8", harms=HARMS)
    first, *_, last = [m for m in summary["mechanisms"] if m["change"] == "leave out"]
    assert not first["kept"] and last["kept"] and last["verdict"]["effect"] < 0
    assert [(climb["rung"], climb["outcome"]) for climb in last["climbs"]] == [("probation", "removed")]
    printed = bilevel("status", "run").stdout
    assert "harms left out once" in printed and "harms left out for good: " in printed
    standing = next(s for s in summary["ladder"]["standings"] if s["outcome"] == "removed")
    assert standing["since"] is None and standing["ended"].startswith(f"removed in trial {last['trial']}: ")
    assert last["said"] not in standing["ended"]  # it is said once


def test_the_section_says_where_each_mechanism_stands_and_which_rungs_are_off(ran, bilevel):
    summary = ran(level_2(by="library:only:restart", more='ladder = ["door"]\nproof_share = 0.0\n'))
    assert set(summary["ladder"]["off"]) == {"replay", "rehearsal", "probation"} and summary["ladder"]["control"]
    printed = bilevel("status", "run").stdout
    off = "rehearsal (the recipe leaves it out); probation (proof_share is 0)"
    assert f"off in this run: replay (the recipe leaves it out); {off}" in printed
    assert "replay off" in printed and "gains prove nothing" not in printed


@pytest.mark.slow
def test_without_a_control_the_section_says_that_gains_prove_nothing(ran, bilevel):
    summary = ran(level_2(by="library:only:orthogonal", start="continue"))
    assert not summary["ladder"]["control"] and summary["ladder"]["off"]["probation"] == "it needs forks"
    assert all(tried["verdict"] is None and not tried["pairs"] for tried in summary["mechanisms"])
    printed = bilevel("status", "run").stdout
    assert "no live trial has a control: gains prove nothing" in printed
    assert "no control in this cycle" in printed and "all its forks" not in printed


@pytest.mark.slow
def test_a_mechanism_with_too_many_faults_is_retired_and_the_summary_says_after_which(ran, bilevel, bilevel_json):
    text = inner("fails.py").replace("max_faults = 1", "max_faults = 3")
    summary = ran(text, fails=FAILS)
    assert summary["static"]["fails"]["propose"]["faults"] == 3
    (retired,) = summary["retired"]
    assert (retired["mechanism"], retired["trial"], retired["faults"]) == ("fails", 3, 3)
    said = "retired after 3 faults in trial 3 of branch root: propose: ValueError: broken on purpose"
    for command in (("status", "run"), ("show", "run", "--mechanism", "fails"),
                    ("mechanisms", "show", "fails", "--run", "run")):  # fmt: skip
        assert f"fails {said}" in bilevel(*command).stdout
    assert bilevel_json("mechanisms", "show", "fails", "--run", "run")["retired"] == [retired]


def test_fewer_faults_retire_nobody(ran):
    summary = ran(inner("fails.py").replace("max_faults = 1", "max_faults = 6"), fails=FAILS)
    assert summary["static"]["fails"]["propose"]["faults"] == 5 and summary["retired"] == []


# ---- keys of a recipe ----


def test_a_rung_that_the_ladder_key_leaves_out_is_not_climbed(ran):
    summary = ran(level_2(by="library:only:placebo", cycles=2, more="ladder = []\n"))
    (tried,) = summary["mechanisms"]
    found = [(climb["rung"], climb["outcome"]) for climb in tried["climbs"]]
    assert found == [("door", "off"), ("replay", "off"), ("rehearsal", "off"), ("trial", "inert")]
    assert tried["ran"] and not tried["kept"]


@pytest.mark.parametrize(("share", "times"), [(0.0, 0), (0.25, 1), (1.0, 4)])
def test_proof_share_bounds_the_trials_that_leave_a_mechanism_out(ran, bilevel, share, times):
    by = "library:only:placebo"  # it fails the replay: the one of the recipe stays the only one in force
    text = inner("tabu") + level_2(by=by, trials=2, cycles=5, more=f"proof_share = {share}\n")
    left = [m for m in ran(text)["mechanisms"] if m["change"] == "leave out"]
    assert len(left) == times and not any(m["kept"] for m in left)
    printed = bilevel("status", "run").stdout
    assert printed.count("tabu left out once") == times and "never called" not in printed


@pytest.mark.slow
def test_further_controls_are_arms_with_a_gain_over_each(ran, bilevel):
    by = "library:only:orthogonal"
    more = 'controls = ["restart", "placebo", "again"]\nproof_share = 0.0\n'
    summary = ran(level_2(by=by, trials=4, more=more))
    for tried in summary["mechanisms"]:
        assert set(tried["gains"]) == {"control", "restart", "placebo"} and len(tried["again"]) == 1
        assert tried["gain"] == pytest.approx(min(tried["gains"].values()))
    assert summary["repetition"]["trials"] == 4 + 2 * 5 * 4
    printed = bilevel("status", "run").stdout
    assert "over the control " in printed and ", over restart " in printed and ", over placebo " in printed
    assert "; the same loop again differed by " in printed and "gain against the best of its controls" in printed


@pytest.mark.slow
def test_a_named_level_of_isolation_is_recorded_with_each_trial(ran, bilevel_json):
    sandbox = '[sandbox]\nisolation = "limits"\n'
    summary = ran(inner("freezes.py") + sandbox, freezes=FREEZES)
    assert summary["isolation"] == {"runs: none; mechanisms: limits": 6}
    for number in (0, 5):
        stored = bilevel_json("show", "run", "--trial", number)
        assert stored["isolation"] == "runs: none; mechanisms: limits"
    assert bilevel_json("status", "run")["isolation"] == summary["isolation"]


def test_a_level_that_the_machine_has_not_is_an_error_with_the_way_out(recipe, tmp_path):
    name = recipe(inner("freezes.py") + '[sandbox]\nisolation = "contained"\n', freezes=FREEZES)
    without = (
        "import sys; from bilevel.sandbox import levels; there = levels.probe\n"
        "none = levels.Probe('contained', obstacle='none here')\n"
        "levels.probe = lambda level: none if level == 'contained' else there(level)\n"
        "from bilevel.cli import main; sys.argv = ['bilevel', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", without, "run", name, "--folder", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "cannot be 'contained' here: none here" in done.stderr and "Way out: " in done.stderr


def fingerprints(folder):
    """All that a run decided, branch by branch."""
    reader = Reader(folder)
    traces = {branch.id: Traces(reader).trace(branch.id, Objective("loss")) for branch in reader.branches()}
    reader.close()
    return {name: (len(trace), trace.fingerprint()) for name, trace in traces.items()}


@pytest.mark.slow
def test_what_comes_with_the_package_does_the_same_in_the_sandbox_as_in_process(bilevel_json, recipe, tmp_path):
    for folder, more in (("here", ""), ("inside", "[sandbox]\nshipped = true\n")):
        bilevel_json("run", recipe(level_2(trials=4) + more), "--folder", folder)
    here, inside = (bilevel_json("status", folder) for folder in ("here", "inside"))
    assert len(fingerprints(tmp_path / "here")) == 6
    assert fingerprints(tmp_path / "here") == fingerprints(tmp_path / "inside")
    assert [m["ledger"] for m in here["mechanisms"]] == [m["ledger"] for m in inside["mechanisms"]]
    assert "in this process" in here["environment"]["isolation"].partition("come with the package")[2]
    assert "in the sandbox too" in inside["environment"]["isolation"]


def test_only_what_runs_in_the_sandbox_feels_its_limits(bilevel, recipe):
    text = inner("tabu") + "[sandbox]\nwall_seconds = 0.000001\nshipped = {}\n"
    assert bilevel("run", recipe(text.format("false")), "--folder", "here").returncode == 0
    inside = bilevel("run", recipe(text.format("true")), "--folder", "inside")
    assert inside.returncode == 2 and "took more than 1e-06 s" in inside.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "sandbox", "said"),
    [
        (LOOPS, "call_seconds = 0.2", "the call took more than 0.2 s of CPU time"),
        (LOOPS, "call_seconds = 60\nwall_seconds = 0.3", "the call took more than 0.3 s"),
        (HOLDS, "memory_bytes = 134217728", "MemoryError"),
        (HOLDS, "memory_bytes = 1073741824", ""),
    ],
)
def test_a_hook_that_goes_beyond_a_limit_is_a_fault_that_names_it(ran, source, sandbox, said):
    summary = ran(inner("mine.py") + f"[sandbox]\n{sandbox}\n", mine=source)
    assert summary["repetition"]["trials"] == 5 and summary["repetition"]["failed"] == 0
    faults = [one["last"] for one in summary["retired"]]
    assert (len(faults) == 1 and faults[0].startswith(f"propose: {said}")) if said else not faults


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[outer]]\nlevel = "settings"\nresearcher = "settings_rules"\nladder = ["door"]\n', "outer.0.ladder: "),
        ('[[outer]]\nlevel = "settings"\nresearcher = "settings_rules"\nproof_share = 0.5\n', "outer.0.proof_share: "),
        (level_2(start="continue", more='controls = ["restart"]\n'), "outer.0.controls: "),
    ],
)
def test_keys_that_nothing_reads_are_said_by_check(bilevel, recipe, text, said):
    done = bilevel("check", recipe(text), "--json")
    assert done.returncode == 4 and any(problem.startswith(said) for problem in json.loads(done.stdout)["problems"])


@pytest.mark.parametrize(
    "text",
    [
        '[sandbox]\nisolation = "strong"\n',
        "[sandbox]\ncall_seconds = 0\n",
        "[sandbox]\nmemory_bytes = 1\n",
        level_2(more='ladder = ["dress rehearsal"]\n'),
        level_2(more="proof_share = 2.0\n"),
        level_2(more='controls = ["luck"]\n'),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_key(bilevel, recipe, text):
    done = bilevel("check", recipe(text))
    key = text.strip().splitlines()[-1].split(" ")[0]
    assert done.returncode == 4 and key in done.stdout
