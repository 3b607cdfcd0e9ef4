"""What a mechanism may import: the door reads by these lists, and a sandbox loads by them."""

STANDARD = frozenset({
    "abc", "bisect", "collections", "copy", "dataclasses", "decimal", "enum", "fractions", "functools", "heapq",
    "itertools", "json", "math", "numbers", "operator", "random", "re", "statistics", "string", "typing",
})  # fmt: skip
"""Modules of the standard library that compute and nothing else."""
OURS = frozenset(
    f"bilevel.{name}"
    for name in (
        "codec",
        "errors",
        "mechanism",
        "noise",
        "objective",
        "pareto",
        "settings",
        "space",
        "trace",
        "trial",
        "view",
    )
)
"""Modules of this package: what a mechanism is given, and what it answers with."""
OF_STEPS = frozenset({"bilevel.workflow_step"})
"""What a step of a workflow as code may import besides."""
NUMERICAL = frozenset({"numpy", "scipy", "sklearn"})
"""Packages that may be used where they are installed."""
