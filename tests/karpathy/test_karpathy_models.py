"""A model researches the checkout by his rules: it edits train.py, mends its slips; ties go to the shorter program."""

import itertools
import json
import re
from pathlib import Path

import pytest
from autoresearch_stub import TRAIN, fingerprint, git

pytest.importorskip("pydantic_ai")

from researcher_server import ResearcherServer

from bilevel.lab import Traces
from bilevel.levels import leaf, leaf_branch
from bilevel.run import recorded
from bilevel.store.folder import RunFolder

USELESS = 'def useless(value):\n    """It returns what it is given."""\n    return value\n\n\n'


def edit(why, *pairs, changes=None):
    """A draft in the form that the prompt asks for."""
    blocks = "".join(f"\ntrain.py\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n" for old, new in pairs)
    return json.dumps({"why": why, "predicted_gain": 0.01, "changes": changes or {}}) + "\n" + blocks


CALL = "val_bpb = evaluate_bpb(useless(MATRIX_LR), WARMDOWN_RATIO, DEPTH, ASPECT_RATIO, load_tokenizer())"


def call(text):
    return CALL.replace("useless(MATRIX_LR)", text)


@pytest.fixture
def research(monkeypatch, checkout, bilevel):
    """Run recipe karpathy with a model that gives these answers, one per question for a draft; returns its trials."""
    servers = []

    def start(*answers, tries=None):
        said = iter(answers)
        answer = lambda prompt: next(said, "I have nothing more to say.")  # noqa: E731
        server = ResearcherServer("compatible", says={"draft": answer, "other": answer})
        servers.append(server)
        monkeypatch.setenv("OPENAI_COMPATIBLE_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "a-key-for-tests")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        args = ["--trials", tries or len(answers), "--folder", "run", "--model", "compatible:any"]
        bilevel("run", "karpathy", "--task", f"karpathy:{checkout}", *args)
        run = RunFolder.read(Path("run"))
        try:
            _, spec = recorded(run.config)
            traces = Traces(run.store)
            return traces.trace(leaf_branch(traces, spec, "root"), leaf(spec).task.objective), server
        finally:
            run.close()

    yield start
    for server in servers:
        server.close()


@pytest.mark.slow
def test_it_edits_the_script_and_the_log_says_so_in_its_words(research, checkout, bilevel):
    before = fingerprint(checkout)
    trace, server = research(
        edit("halve the matrix learning rate", (CALL, call("useless(MATRIX_LR / 2)"))),
        edit("deeper, and a slower decay", changes={"DEPTH": 10, "WARMDOWN_RATIO": 0.7}),
    )
    assert [trial.decision.keep for trial in trace] == [True, True, True]
    assert trace[1].score == pytest.approx(trace[0].score - 0.0480, abs=1e-3)
    prompt = server.prompts("draft")[0]
    assert "get the lowest val_bpb" in prompt and "def useless(value):" in prompt
    bilevel("export", "run", "--tag", "n")
    log = git(Path("run/git"), "log", "--reverse", "--format=%s", "refs/bilevel/base..autoresearch/n").splitlines()
    assert re.sub(r"0\.\d{6}", "S", "\n".join(log)) == (
        "halve the matrix learning rate · val_bpb S\nDEPTH: 8 -> 10, WARMDOWN_RATIO: 0.5 -> 0.7 · val_bpb S"
    )
    assert call("useless(MATRIX_LR / 2)") in (Path("run/git") / "train.py").read_text()
    bilevel("best", "run", "--apply", checkout)
    assert (checkout / "train.py").read_bytes() == (Path("run/git") / "train.py").read_bytes()
    git(checkout, "checkout", "-q", "train.py")
    assert git(checkout, "status", "--porcelain") == ""
    assert before != ""


@pytest.mark.slow
def test_a_crash_that_is_a_slip_goes_back_with_the_end_of_its_log_and_is_a_row_of_the_table(research, bilevel):
    trace, server = research(
        edit("half the rate", (CALL, call("useles(MATRIX_LR / 2)"))),
        edit("mend the name", (call("useles(MATRIX_LR / 2)"), call("useless(MATRIX_LR / 2)"))),
    )
    assert [trial.status.value for trial in trace] == ["ok", "exit", "ok"]
    assert trace[2].proposal.notes["repair_of"] == 1 and trace[2].decision.keep
    assert trace[1].score is None and all(run.metrics is None for run in trace[1].runs)
    assert "NameError: name 'useles' is not defined" in server.prompts()[1]
    bilevel("export", "run")
    lines = (Path("run/git") / "results.tsv").read_text().splitlines()
    assert lines[2].split("\t")[1:] == ["0.000000", "0.0", "crash", "half the rate"]
    assert lines[3].split("\t")[3] == "keep"


@pytest.mark.slow
def test_after_three_repairs_the_idea_is_given_up(research):
    texts = [CALL, *(call(f"useles{n}(MATRIX_LR)") for n in range(4))]  # each mends the one before, and not well
    slips = [edit(f"slip {n}", pair) for n, pair in enumerate(itertools.pairwise(texts))]
    trace, _ = research(*slips, edit("another idea", (CALL, call("useles9(MATRIX_LR)"))))
    assert [trial.status.value for trial in trace[1:]] == ["exit"] * 5
    assert [trial.proposal.notes.get("repair_of") for trial in trace[1:]] == [None, 1, 2, 3, None]


def test_equal_and_shorter_is_kept_and_equal_and_longer_is_not(research):
    trace, _ = research(
        edit("say it twice", (CALL, f"{CALL}\nval_bpb = val_bpb + 0.0 * DEPTH")),
        edit("away with what does nothing", (USELESS.rstrip("\n"), ""), (CALL, call("MATRIX_LR"))),
    )
    assert [trial.decision.keep for trial in trace] == [True, False, True]
    assert trace[2].score == trace[0].score and "simpler: its code is" in trace[2].decision.reason
    assert trace.ledger()["simpler"]["decide"].decisive == 1
    assert "def useless" not in trace[2].candidate.files["train.py"]
    assert TRAIN.count("useless") == 2
