"""What is asked of a trained model, and what its answers are worth: the arithmetic of the score, on numpy alone.

The model answers rows of tokens with logits. Softmax, targets and the count of bytes are the scorer's own,
and the last token of a row, its last target, is never sent. That the other targets are in the row is harmless
only if the model is causal, so a second process of the model, which sees nothing else, gets some rows again
with everything from a random place on replaced by random tokens: the logits before that place must not move.
A model that looks ahead fails this, and so does one whose answer depends on the other rows or on what it was
sent before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ROWS = 256
PROBES = 64
ROWS_PER_FRAME = 16
TOLERANCE = {"cpu": 1e-3, "cuda": 0.25}  # logits; bfloat16 has a step of 0.06 at 15

Tokens = npt.NDArray[np.uint16]
Logits = npt.NDArray[np.float32]
Predict = Callable[[Tokens], Logits]


class Refused(Exception):
    """The candidate broke a rule of the task."""


class Diverged(Exception):
    """The model's logits give no finite loss."""


@dataclass(frozen=True)
class Rows:
    """Windows spread evenly over a text: `inputs` and the `targets` one token further, both (rows, positions)."""

    inputs: Tokens
    targets: Tokens


@dataclass(frozen=True)
class Probe:
    """A row again, with random tokens from `cut` on."""

    row: int
    cut: int
    inputs: Tokens


def rows_of(tokens: Tokens, sequence_len: int, rows: int = ROWS) -> Rows:
    """`rows` windows of `sequence_len` tokens, the first at the start of the text and the last at its end."""
    last = len(tokens) - sequence_len - 1
    if last < 0:
        raise ValueError(f"a text of {len(tokens)} tokens has no row of {sequence_len}")
    starts = np.linspace(0, last, min(rows, last + 1)).astype(np.int64)
    windows = tokens[starts[:, None] + np.arange(sequence_len + 1)]
    return Rows(inputs=windows[:, :-1], targets=windows[:, 1:])


def probes_of(rows: Rows, vocab_size: int, rng: np.random.Generator, probes: int = PROBES) -> list[Probe]:
    """Rows drawn by `rng` in random order, the places of their cuts spread over the whole length."""
    count, positions = rows.inputs.shape
    probes = min(probes, count)
    cuts = 1 + ((np.arange(probes) + rng.random(probes)) * (positions - 1) / probes).astype(np.int64)
    made = []
    for row, cut in zip(rng.choice(count, probes, replace=False), rng.permutation(cuts), strict=True):
        inputs = rows.inputs[row].copy()
        inputs[cut:] = (inputs[cut:] + rng.integers(1, vocab_size, positions - cut)) % vocab_size  # each differs
        made.append(Probe(int(row), int(cut), inputs))
    return made


@dataclass(frozen=True)
class Judged:
    """The loss of a model over some rows, and the logits kept to hold the probes against."""

    bits_per_byte: float
    kept: dict[int, Logits]


def judge(predict: Predict, rows: Rows, token_bytes: npt.NDArray[np.int64], keep: frozenset[int]) -> Judged:
    """Ask for the logits of all rows, in order, and turn them into bits per byte. Raises Diverged."""
    nats = 0.0
    kept: dict[int, Logits] = {}
    for first, frame in _frames(rows.inputs):
        logits = predict(frame)
        nats += float(cross_entropy(logits, rows.targets[first : first + len(frame)]).sum())
        kept.update({row: logits[row - first] for row in range(first, first + len(frame)) if row in keep})
    if not math.isfinite(nats):
        raise Diverged("the logits give a loss that is not finite")
    return Judged(bits_per_byte(nats, int(token_bytes[rows.targets].sum())), kept)


def require_causal(predict: Predict, probes: list[Probe], kept: dict[int, Logits], tolerance: float) -> None:
    """Raise Refused unless the logits before each probe's cut are those that the whole row gave."""
    for first, frame in _frames(np.stack([probe.inputs for probe in probes])):
        logits = predict(frame)
        for probe, answer in zip(probes[first : first + len(frame)], logits, strict=True):
            moved = np.abs(answer[: probe.cut] - kept[probe.row][: probe.cut]).max()
            if not moved <= tolerance:
                raise Refused(
                    f"the model is not causal: with other tokens from position {probe.cut} on, the logits before it "
                    f"moved by {moved:.3g} (at most {tolerance:.3g}); each position may use only the tokens up to it, "
                    "in its own row"
                )


def cross_entropy(logits: Logits, targets: Tokens) -> npt.NDArray[np.float64]:
    """Nats of each target under the softmax of its logits: (rows, positions, vocabulary), (rows, positions)."""
    top = logits.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.exp(logits - top).sum(axis=-1, dtype=np.float64)
        chosen = np.take_along_axis(logits, targets[..., None].astype(np.int64), axis=-1) - top
    nats: npt.NDArray[np.float64] = np.log(total) - chosen[..., 0].astype(np.float64)
    return nats


def bits_per_byte(nats: float, byte_count: int) -> float:
    """A loss over a stretch of text, free of how it was cut into tokens."""
    return nats / math.log(2) / byte_count


def _frames(inputs: Tokens) -> Iterator[tuple[int, Tokens]]:
    for first in range(0, len(inputs), ROWS_PER_FRAME):
        yield first, inputs[first : first + ROWS_PER_FRAME]
