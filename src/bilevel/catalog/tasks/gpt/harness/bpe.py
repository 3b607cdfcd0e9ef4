"""A byte-level byte-pair encoding, trained on the training text only.

After Sennrich, Haddow and Birch 2016 (arXiv 1508.07909).

Tokens 0..255 are the bytes; token 256 + i is the i-th merge. Merges never cross the borders of the chunks
that `CHUNKS` cuts. Training is deterministic: of equally frequent pairs the one with the smaller token
numbers is merged first.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import numpy.typing as npt

CHUNKS = re.compile(r" ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+")

Pair = tuple[int, int]
Tokens = npt.NDArray[np.uint16]


def train(text: str, vocab_size: int) -> list[Pair]:
    """The merges, in order, that grow the alphabet of bytes to `vocab_size` tokens (or fewer)."""
    counts = Counter(CHUNKS.findall(text))
    words = [list(chunk.encode("utf-8")) for chunk in counts]
    weights = list(counts.values())
    pairs: dict[Pair, int] = defaultdict(int)
    where: dict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += weights[index]
            where[pair].add(index)

    merges: list[Pair] = []
    while len(merges) < vocab_size - 256 and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], -pair[0], -pair[1]))
        new = 256 + len(merges)
        merges.append(best)
        for index in where.pop(best):
            for pair in pairwise(words[index]):
                pairs[pair] -= weights[index]
                if pairs[pair] <= 0:
                    del pairs[pair]
            words[index] = merge(words[index], best, new)
            for pair in pairwise(words[index]):
                pairs[pair] += weights[index]
                where[pair].add(index)
    return merges


def merge(word: list[int], pair: Pair, new: int) -> list[int]:
    """`word` with each occurrence of `pair`, from the left, replaced by the token `new`."""
    merged: list[int] = []
    position = 0
    while position < len(word):
        if position + 1 < len(word) and (word[position], word[position + 1]) == pair:
            merged.append(new)
            position += 2
        else:
            merged.append(word[position])
            position += 1
    return merged


def encode(text: str, merges: list[Pair]) -> Tokens:
    """The tokens of `text`: in each chunk the earliest learnt pair is merged first."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    known: dict[str, list[int]] = {}
    tokens: list[int] = []
    for chunk in CHUNKS.findall(text):
        if chunk not in known:
            known[chunk] = _encode_chunk(list(chunk.encode("utf-8")), ranks)
        tokens.extend(known[chunk])
    return np.array(tokens, dtype=np.uint16)


def _encode_chunk(word: list[int], ranks: dict[Pair, int]) -> list[int]:
    while len(word) > 1:
        first = min(pairwise(word), key=lambda pair: ranks.get(pair, len(ranks)))
        if first not in ranks:
            break
        word = merge(word, first, 256 + ranks[first])
    return word


def vocabulary(merges: list[Pair]) -> list[bytes]:
    """The bytes each token stands for."""
    table = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        table.append(table[left] + table[right])
    return table


def decode(tokens: Tokens, merges: list[Pair]) -> str:
    """The text of `tokens`; the inverse of `encode`."""
    table = vocabulary(merges)
    return b"".join(table[token] for token in tokens.tolist()).decode("utf-8", errors="replace")
