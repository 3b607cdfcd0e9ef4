"""A task with two objectives and two guardrails, for a picture: the settings of zlib for one text, smaller or faster.

The memory is what zlib's manual says that compressing takes: 2**(wbits + 2) + 2**(memLevel + 9) bytes.
"""

import statistics
import time
import zlib
from pathlib import Path

from bilevel.guardrails import Guardrail
from bilevel.objective import Further, Objective
from bilevel.space import Candidate, Choice, Int, Space, Value
from bilevel.tasks.function import FunctionTask

TEXT = (Path(__file__).parents[1] / "claims.md").read_bytes()
STRATEGIES = {"default": zlib.Z_DEFAULT_STRATEGY, "filtered": zlib.Z_FILTERED, "huffman": zlib.Z_HUFFMAN_ONLY}
REPEATS = 15


def measured(params: dict[str, Value], seed: int) -> dict[str, float]:
    """The share of the text's size that is left, and the median of some times in milliseconds."""
    times, size = [], 0
    for _ in range(REPEATS):
        began = time.process_time()
        press = zlib.compressobj(
            params["level"], zlib.DEFLATED, params["wbits"], params["memLevel"], STRATEGIES[params["strategy"]]
        )
        size = len(press.compress(TEXT) + press.flush())
        times.append(time.process_time() - began)
    memory = 2 ** (params["wbits"] + 2) + 2 ** (params["memLevel"] + 9)
    return {"size": size / len(TEXT), "time": 1000 * statistics.median(times), "memory": memory / 1024}


task = FunctionTask(
    "zlib",
    measured,
    Space({"level": Int(1, 9), "wbits": Int(9, 15), "memLevel": Int(1, 9), "strategy": Choice(tuple(STRATEGIES))}),
    Candidate({"level": 4, "wbits": 13, "memLevel": 6, "strategy": "default"}),
    Objective(
        "size",
        guardrails=(Guardrail("memory", at_most=200.0), Guardrail("time", worse_by_at_most=0.5)),
        also=(Further("time", "ms"),),
    ),
    "zlib on one text",
)
