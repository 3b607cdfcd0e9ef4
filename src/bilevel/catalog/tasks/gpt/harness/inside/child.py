"""The process that runs the candidate's code: `python child.py FD`, where FD is a socket to the scorer.

It imports torch, says so, and waits for jobs. A job is one JSON line. On a CPU each job runs in a fork, so
that torch is imported once and yet no job shares anything with another: no code of the candidate ever runs in
the waiting process. On a GPU, which does not survive a fork, the process runs one job itself and ends.

Jobs: "train" leaves a checkpoint and a report; "serve" reads rows of tokens from a second socket and writes
logits. Exit codes of a job: 0, 10 (refused), 11 (diverged), 12 (the candidate's code failed; its traceback is
on stderr).
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import socket
import struct
import sys
import traceback
from types import ModuleType
from typing import Any

import clock
import guard
import numpy as np
import torch

HEADER = struct.Struct("<II")  # rows and positions of the frame that follows
DIVERGED, CRASHED = 11, 12


def main() -> None:
    """Say hello, then run jobs until the scorer hangs up."""
    line = socket.socket(fileno=int(sys.argv[1]))
    torch.set_num_threads(1)
    cuda = torch.cuda.is_available() and os.environ.get("BILEVEL_DEVICE") != "cpu"
    _say(line, {"device": "cuda" if cuda else "cpu", "torch": torch.__version__})
    while True:
        message, handles, _, _ = socket.recv_fds(line, 1 << 16, 1)
        if not message:
            return
        job = json.loads(message)
        if cuda:
            line.close()
            _execute(job, handles)
        pid = os.fork()
        if pid == 0:
            line.close()
            _execute(job, handles)
        for handle in handles:
            os.close(handle)
        _, status, used = os.wait4(pid, 0)
        _say(
            line,
            {"exit": os.waitstatus_to_exitcode(status), "cpu": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss},
        )


def _say(line: socket.socket, message: dict[str, Any]) -> None:
    line.sendall(json.dumps(message).encode() + b"\n")


def _execute(job: dict[str, Any], handles: list[int]) -> None:
    """Run one job in this process and end it."""
    code = CRASHED
    try:
        _limit_cpu(job["cpu_limit"])
        os.chdir(job["workdir"])
        sys.path.append(job["workdir"])
        if job["kind"] == "train":
            _train(job)
        else:
            _serve(job, socket.socket(fileno=handles[0]))
        code = 0
    except FloatingPointError as error:
        print(f"{error}", file=sys.stderr)
        code = DIVERGED
    except BaseException:  # whatever the candidate raises, SystemExit included, is its failure and ends only this job
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _limit_cpu(seconds: float) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = int(seconds + sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))


def _candidate(job: dict[str, Any], read_only: bool) -> ModuleType:
    """The candidate's train.py, imported with the tripwire set."""
    guard.watch(job["forbidden"], read_only, single=job["device"] == "cpu")
    spec = importlib.util.spec_from_file_location("train", os.path.join(job["workdir"], "train.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train"] = module
    spec.loader.exec_module(module)
    return module


def _train(job: dict[str, Any]) -> None:
    tokens = np.load(job["tokens"])
    torch.manual_seed(job["seed"])
    untouched = guard.marks(clock)
    module = _candidate(job, read_only=False)
    counter = clock.Clock(job["budget"], wall=job["device"] == "cuda")
    with counter:
        model = module.train(tokens, job["vocab_size"], job["sequence_len"], counter, job["seed"])
    if guard.marks(clock) != untouched or any(callable(value) for value in vars(counter).values()):
        guard.refuse("the candidate changed the clock")
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise FloatingPointError(f"the trained weights {name!r} are not finite")
    torch.save(state, job["checkpoint"])
    report = {"num_steps": counter.steps, "tokens": counter.tokens, "virtual_seconds": counter.spent}
    with open(job["report"], "w", encoding="utf-8") as file:
        json.dump(report, file)


def _serve(job: dict[str, Any], line: socket.socket) -> None:
    """Answer each frame of rows with a frame of float32 logits, until the scorer hangs up."""
    state = torch.load(job["checkpoint"], map_location="cpu", weights_only=True)
    params = sum(value.numel() for value in state.values())
    line.sendall(struct.pack("<Q", params))
    torch.manual_seed(job["seed"])
    predict = _candidate(job, read_only=job["device"] == "cpu").load(state, job["vocab_size"], job["sequence_len"])
    stream = line.makefile("rb")
    while header := stream.read(HEADER.size):
        rows, positions = HEADER.unpack(header)
        frame = np.frombuffer(stream.read(2 * rows * positions), dtype="<u2").reshape(rows, positions)
        logits = np.ascontiguousarray(predict(torch.from_numpy(frame.astype(np.int64))).detach().numpy(), dtype="<f4")
        if logits.shape != (rows, positions, job["vocab_size"]):
            raise ValueError(f"logits of shape {(rows, positions, job['vocab_size'])} expected, not {logits.shape}")
        line.sendall(struct.pack("<Q", logits.nbytes))
        line.sendall(logits.data)


if __name__ == "__main__":
    main()
