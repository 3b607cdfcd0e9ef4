"""Train the candidate in the working folder and score it: `python score.py [--sealed]`.

Reads its orders from the environment: BILEVEL_SEED, BILEVEL_CACHE, BILEVEL_RESULT, BILEVEL_VIRTUAL_SECONDS
(the budget), BILEVEL_GPU_SECONDS (the budget on a CUDA GPU), and, where set, BILEVEL_CORPUS and
BILEVEL_DEVICE. Writes result.json into BILEVEL_RESULT, only if every step went well. `--sealed` also
evaluates the test text: it takes the checkpoint that a run of the same file, seed and budget left in
BILEVEL_RESULT, or trains again.

Nothing that the candidate prints or claims enters the score. Its code runs in processes that get the training
tokens and a budget, then rows of tokens; the text, the tokenizer, the softmax and the count of bytes are
here, and this process never imports the candidate's code nor torch.

Exit codes, the reason being the last line of stderr: 0 · 10 `REFUSED:` a rule was broken · 11 `DIVERGED:` no
finite loss · 12 `CRASHED:` the candidate's code failed, its traceback above · 13 `INFRASTRUCTURE:` not the
candidate's doing.

Not covered: code that patches the interpreter below Python, reads the text where it lies on the disk, or
finds this process through the system. The tripwire in the candidate's processes stops the plain forms; the
rest is the sandbox's task.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import corpus
import evaluate
import numpy as np
import prepare

REFUSED, DIVERGED, CRASHED, INFRASTRUCTURE = 10, 11, 12, 13
HERE = Path(__file__).resolve().parent
CPU_MULTIPLE, CPU_ALLOWANCE = 3.0, 8.0  # CPU seconds a training process may use: 3 per virtual second, and 8
SERVE_CPU_SECONDS = 60.0
LEAST_FREE_BYTES = 64 * 2**20
Answer = TypeVar("Answer")
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
FEWER_PAGE_FAULTS = {  # glibc: keep freed memory instead of returning it; a step takes a quarter less CPU time
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
}


class Failed(Exception):
    """The run ends without a score; `code` is the exit code, the message its reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Orders:
    """What the runner asks for."""

    seed: int
    budget: float
    gpu_budget: float
    cache: Path
    result: Path
    workdir: Path
    corpus: str | None

    @classmethod
    def from_environment(cls) -> Orders:
        """Raises Failed where a variable is missing or no number."""
        try:
            virtual = float(os.environ["BILEVEL_VIRTUAL_SECONDS"])
            return cls(
                seed=int(os.environ["BILEVEL_SEED"]),
                budget=virtual,
                gpu_budget=float(os.environ.get("BILEVEL_GPU_SECONDS", virtual)),
                cache=Path(os.environ["BILEVEL_CACHE"]).resolve(),
                result=Path(os.environ["BILEVEL_RESULT"]).resolve(),
                workdir=Path.cwd(),
                corpus=os.environ.get("BILEVEL_CORPUS"),
            )
        except (KeyError, ValueError) as error:
            raise Failed(INFRASTRUCTURE, f"the runner's orders are incomplete: {error!r}") from error


@dataclass(frozen=True)
class Ended:
    """How a job of the candidate's process ended, as the operating system tells it."""

    code: int  # negative: the signal that killed it
    cpu: float
    rss_mb: float


@dataclass
class Workshop:
    """The processes that run the candidate's code: one that waits with torch imported, and one more for each job."""

    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    hello: dict[str, Any] = field(default_factory=dict)

    def open(self) -> None:
        """Start the waiting process; it imports torch meanwhile."""
        ours, theirs = socket.socketpair()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BILEVEL_")}
        environment.update(FEWER_PAGE_FAULTS, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
        environment.update(dict.fromkeys(ONE_THREAD, "1"), PYTHONPATH=str(HERE / "inside"))
        if "BILEVEL_DEVICE" in os.environ:
            environment["BILEVEL_DEVICE"] = os.environ["BILEVEL_DEVICE"]
            if os.environ["BILEVEL_DEVICE"] == "cpu":
                environment["CUDA_VISIBLE_DEVICES"] = ""
        command = [sys.executable, "-u", str(HERE / "inside" / "child.py"), str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
        theirs.close()
        self.line, self.hello = ours, {}

    def device(self) -> str:
        """ "cpu" or "cuda"; waits until torch is imported."""
        if not self.hello:
            self.hello = self._hear() or {}
        if not self.hello:
            raise Failed(INFRASTRUCTURE, "torch cannot be imported; install it with `pip install torch==2.13.0`")
        return str(self.hello["device"])

    def start(self, job: dict[str, Any], handle: socket.socket | None = None) -> Callable[[], Ended]:
        """Begin a job, giving it `handle`; the result waits for its end."""
        if self.process is None:
            self.open()
        self.device()
        assert self.line is not None and self.process is not None
        message = json.dumps({**job, "device": self.device()}).encode()
        socket.send_fds(self.line, [message], [handle.fileno()] if handle else [])
        return self._end

    def _end(self) -> Ended:
        assert self.process is not None
        if told := self._hear():
            return Ended(told["exit"], told["cpu"], told["rss"] / (1024 if sys.platform == "linux" else 2**20))
        _, status, used = os.wait4(self.process.pid, 0)  # on a GPU the process itself did the job
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.close()
        return Ended(code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def _hear(self) -> dict[str, Any] | None:
        assert self.line is not None
        heard = b""
        while not heard.endswith(b"\n"):
            part = self.line.recv(1 << 16)
            if not part:
                return None
            heard += part
        message: dict[str, Any] = json.loads(heard)
        return message

    def close(self) -> None:
        """Hang up; the waiting process ends."""
        if self.line is not None:
            self.line.close()
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process = self.line = None


def main() -> int:
    """Score the candidate; the exit code says how it went."""
    workshop = Workshop()
    scratch = Path(tempfile.mkdtemp(prefix="gpt-run-"))
    try:
        orders = Orders.from_environment()
        orders.result.mkdir(parents=True, exist_ok=True)
        (orders.result / "result.json").unlink(missing_ok=True)
        workshop.open()
        metrics = score(orders, workshop, scratch, sealed="--sealed" in sys.argv[1:])
        write_result(orders.result, metrics)
        print(json.dumps(metrics))
        return 0
    except Failed as failed:
        code, reason = failed.code, str(failed)
    except (corpus.CorpusMissing, OSError) as error:
        code, reason = INFRASTRUCTURE, str(error)
    finally:
        workshop.close()
        shutil.rmtree(scratch, ignore_errors=True)
    words = {REFUSED: "REFUSED", DIVERGED: "DIVERGED", CRASHED: "CRASHED", INFRASTRUCTURE: "INFRASTRUCTURE"}
    print(f"{words[code]}: {reason}", file=sys.stderr, flush=True)
    return code


def score(orders: Orders, workshop: Workshop, scratch: Path, sealed: bool) -> dict[str, Any]:
    """All metrics of the candidate: train it, or take its checkpoint, then ask it."""
    if not (orders.workdir / "train.py").is_file():
        raise Failed(CRASHED, f"there is no train.py in {orders.workdir}")
    factor = prepare.slowness(orders.cache)
    device = workshop.device()
    vocab_size, sequence_len = prepare.SIZES[device]
    data = prepare.ensure(orders.cache, orders.corpus, vocab_size)
    job: dict[str, Any] = {
        "workdir": str(orders.workdir),
        "seed": orders.seed,
        "budget": orders.budget if device == "cpu" else orders.gpu_budget,
        "vocab_size": int(data.manifest["vocab_size"]),
        "sequence_len": sequence_len,
        "forbidden": [str(orders.cache), str(orders.result), str(corpus.source(orders.corpus))],
        "checkpoint": str(scratch / "checkpoint.pt"),
        "report": str(scratch / "report.json"),
        "tokens": str(scratch / "train.npy"),
    }
    if orders.corpus == "stdlib":
        job["forbidden"] = job["forbidden"][:2]  # the interpreter itself reads that text
    marks = fingerprint(orders, device, data)
    trained = kept_training(orders, scratch, marks) if sealed else None
    if trained is None:
        trained = train(job, workshop, data, scratch, factor)
        keep_training(orders, scratch, trained, marks)
    metrics = {**trained, "corpus": data.manifest["corpus"], "device": device, "torch": workshop.hello["torch"]}
    for split in ("val", "test") if sealed else ("val",):
        metrics.update(ask(job, workshop, data, split, factor))
    return metrics


def fingerprint(orders: Orders, device: str, data: prepare.Data) -> str:
    """What a checkpoint depends on: the candidate's code, seed, budget, device and text."""
    code = hashlib.sha256((orders.workdir / "train.py").read_bytes()).hexdigest()
    return f"{code} {orders.seed} {orders.budget} {orders.gpu_budget} {device} {data.folder.name}"


def train(
    job: dict[str, Any], workshop: Workshop, data: prepare.Data, scratch: Path, factor: float
) -> dict[str, float]:
    """Let the candidate train; its metrics are the operating system's, the counts those of its own clock."""
    shutil.copyfile(data.folder / "train.npy", job["tokens"])  # a copy: the cache stays out of the candidate's reach
    limit = cpu_limit(job["budget"], factor) if workshop.device() == "cpu" else 1e6
    ended = workshop.start({**job, "kind": "train", "cpu_limit": limit})()
    require_within(ended, limit, "training", job["budget"])
    require_success(ended, "training")
    try:
        report = json.loads(Path(job["report"]).read_text())
        counts = {
            "num_steps": int(report["num_steps"]),
            "total_tokens_M": round(int(report["tokens"]) / 1e6, 4),
            "virtual_seconds": round(float(report["virtual_seconds"]), 4),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(CRASHED, f"the training process ended without its report ({error!r})") from error
    return {**counts, "training_cpu_s": round(ended.cpu, 2), "peak_rss_mb": round(ended.rss_mb, 1)}


def cpu_limit(budget: float, factor: float) -> float:
    """CPU seconds that training for `budget` virtual seconds may use on a machine `factor` times slower than ours."""
    return factor * (CPU_MULTIPLE * budget + CPU_ALLOWANCE)


def require_within(ended: Ended, limit: float, what: str, budget: float) -> None:
    """Refuse a job that used more CPU time than its budget can explain: work was hidden from the clock."""
    if ended.cpu >= limit:
        raise Failed(
            REFUSED,
            f"{what} used {ended.cpu:.1f} CPU seconds, the limit for {budget:g} virtual seconds is {limit:.1f}; "
            "the clock must count all the work, and a single step must not cost many times the budget",
        )


def require_success(ended: Ended, what: str) -> None:
    """Raise what a job's exit code says, if it is not 0."""
    if ended.code == 0:
        return
    if shutil.disk_usage(tempfile.gettempdir()).free < LEAST_FREE_BYTES:
        raise Failed(INFRASTRUCTURE, f"the disk of {tempfile.gettempdir()} is full; free some space")
    if ended.code == REFUSED:
        raise Failed(REFUSED, f"{what} was ended by the tripwire, see the line above")
    if ended.code == DIVERGED:
        raise Failed(DIVERGED, f"{what} met numbers that are not finite, see the line above")
    if ended.code == -9:
        raise Failed(INFRASTRUCTURE, f"{what} was killed from outside (signal 9), perhaps for want of memory")
    raise Failed(CRASHED, f"{what} failed with exit code {ended.code}, see the traceback above")


def ask(job: dict[str, Any], workshop: Workshop, data: prepare.Data, split: str, factor: float) -> dict[str, float]:
    """Bits per byte of the trained model on "val" or "test". Raises Failed."""
    rows = evaluate.rows_of(data.tokens(split), job["sequence_len"])
    probes = evaluate.probes_of(rows, job["vocab_size"], np.random.default_rng())  # fresh entropy: not to be foreseen
    keep = frozenset(probe.row for probe in probes)
    judged, params = _asking(
        job, workshop, factor, lambda predict: evaluate.judge(predict, rows, data.token_bytes(), keep)
    )
    tolerance = evaluate.TOLERANCE[workshop.device()]
    _asking(job, workshop, factor, lambda predict: evaluate.require_causal(predict, probes, judged.kept, tolerance))
    return {f"{split}_bpb": judged.bits_per_byte, "num_params_M": round(params / 1e6, 4)}


def _asking(
    job: dict[str, Any], workshop: Workshop, factor: float, questions: Callable[[evaluate.Predict], Answer]
) -> tuple[Answer, int]:
    """Put `questions` to the model in a process of its own; the answer, and the number of the model's parameters."""
    ours, theirs = socket.socketpair()
    limit = factor * SERVE_CPU_SECONDS
    with ours:
        end = workshop.start({**job, "kind": "serve", "cpu_limit": limit}, theirs)
        theirs.close()
        stream = ours.makefile("rb")

        def predict(rows: evaluate.Tokens) -> evaluate.Logits:
            ours.sendall(struct.pack("<II", *rows.shape) + rows.astype("<u2").tobytes())
            (size,) = struct.unpack("<Q", _exactly(stream, 8))
            shape = (*rows.shape, int(job["vocab_size"]))
            if size != 4 * math.prod(shape):
                raise Failed(CRASHED, f"the model answered with {size} bytes instead of logits of shape {shape}")
            return np.frombuffer(_exactly(stream, size), dtype="<f4").reshape(shape)

        try:
            (params,) = struct.unpack("<Q", _exactly(stream, 8))
            answer = questions(predict)
        except evaluate.Refused as error:
            raise Failed(REFUSED, str(error)) from error
        except evaluate.Diverged as error:
            raise Failed(DIVERGED, str(error)) from error
        except (EOFError, ConnectionError):
            ended = end()
            require_within(ended, limit, "evaluation", job["budget"])
            require_success(ended, "evaluation")
            raise Failed(CRASHED, "the model stopped answering") from None
    stream.close()
    end()
    return answer, int(params)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def keep_training(orders: Orders, scratch: Path, trained: dict[str, float], marks: str) -> None:
    """Leave the checkpoint beside the result, so that a later sealed evaluation need not train again."""
    try:
        shutil.copyfile(scratch / "checkpoint.pt", orders.result / "checkpoint.pt")
    except FileNotFoundError as error:
        raise Failed(CRASHED, "the training process ended without a checkpoint") from error
    (orders.result / "checkpoint.json").write_text(json.dumps({"marks": marks, "trained": trained}))


def kept_training(orders: Orders, scratch: Path, marks: str) -> dict[str, float] | None:
    """The metrics of a kept checkpoint of this very candidate, which is put in its place; None if there is none."""
    try:
        kept = json.loads((orders.result / "checkpoint.json").read_text())
        if kept["marks"] != marks:
            return None
        shutil.copyfile(orders.result / "checkpoint.pt", scratch / "checkpoint.pt")
    except (OSError, ValueError, KeyError):
        return None
    trained: dict[str, float] = kept["trained"]
    return trained


def write_result(folder: Path, metrics: dict[str, Any]) -> None:
    """result.json, whole or not at all; only finite numbers and text."""
    for name, value in metrics.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Failed(DIVERGED, f"{name} is {value}")
    draft = folder / "result.json.draft"
    draft.write_text(json.dumps(metrics, indent=1) + "\n")
    os.replace(draft, folder / "result.json")


if __name__ == "__main__":
    sys.exit(main())
