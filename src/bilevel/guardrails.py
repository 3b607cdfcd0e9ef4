"""Guardrails: bounds on what is measured beside the objective. Who breaks one is never kept and never best.

Pure functions of records. The host looks at them when it finishes a trial, so no mechanism can overrule them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bilevel.noise import ONE_SIDED_5_PERCENT, estimate
from bilevel.quantiles import student
from bilevel.trial import Run, Status

FROM_COST = {"run_seconds": "seconds", "run_cpu_seconds": "cpu_seconds"}
MEMORY = "run_memory_bytes"
DIFF = ("diff_lines", "diff_bytes")
BUILT_IN = (*FROM_COST, MEMORY, *DIFF)
"""What the host measures itself, by the names under which a guardrail or a further objective asks for it: wall and CPU
seconds and the peak memory of a run; the size of the diff against the baseline's files."""


@dataclass(frozen=True)
class Guardrail:
    """A bound on a metric: exactly one of `at_most`, `at_least`, and `worse_by_at_most`.

    The first two are in the metric's unit, and each run on the top rung must hold them: the worst seed counts.
    `worse_by_at_most` is a share of the baseline's value (0.1: a tenth) by which the mean over the seeds may be worse,
    beyond the noise of the metric between the baseline's seeds (the one-sided 5 % quantile of the difference of the two
    means, by Student's t: the baseline has few repeats); `minimize` says that lower is better.
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None
    worse_by_at_most: float | None = None
    minimize: bool = True

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"{self.metric} at most {self.at_most:.6g}"
        if self.at_least is not None:
            return f"{self.metric} at least {self.at_least:.6g}"
        return f"{self.metric} at most {100 * (self.worse_by_at_most or 0):.6g} % worse than the baseline"

    @property
    def problem(self) -> str:
        """What is wrong with it; empty if nothing."""
        bounds = [b for b in (self.at_most, self.at_least, self.worse_by_at_most) if b is not None]
        if not self.metric or len(bounds) != 1:
            return "needs a metric, and exactly one of at_most, at_least and worse_by_at_most"
        if not math.isfinite(bounds[0]):
            return f"needs a finite bound, not {bounds[0]!r}"
        if self.worse_by_at_most is not None and self.worse_by_at_most < 0:
            return f"worse_by_at_most is a share of the baseline of at least 0, not {self.worse_by_at_most!r}"
        if self.worse_by_at_most is not None and self.metric in DIFF:
            return f"{self.metric} of the baseline is 0, so a share of it is 0 too; give at_most"
        return ""


@dataclass(frozen=True)
class Breach:
    """A guardrail that does not hold: the status of the trial, and the reason with metric, value and bound."""

    status: Status
    reason: str


def breach(
    guardrails: Sequence[Guardrail], runs: Sequence[Run], baseline: Sequence[Run], version: int = 2
) -> Breach | None:
    """The first guardrail that a trial's ok runs on the top rung do not hold; None where all hold.

    A run without the metric is a failure, not a pass. `baseline` are the baseline's runs on the same rung; without
    any, which is so for the baseline itself, only bounds that are not relative can break. `version`: see `rules.Rule`;
    1 leaves room for noise by a normal quantile, as older versions did.
    """
    for guardrail in guardrails:
        values = _values(guardrail.metric, runs)
        if len(values) < len(runs):
            reason = f"guardrail: {guardrail.metric} is missing or not a finite number ({guardrail})"
            return Breach(Status.INVALID_METRIC, reason)
        reason = _broken(guardrail, values, _values(guardrail.metric, baseline), version) if values else ""
        if reason:
            return Breach(Status.GUARDRAIL, f"guardrail: {reason} ({guardrail})")
    return None


@dataclass(frozen=True)
class Room:
    """Where a trial stands to a guardrail: the value that counts (the worst run's, or the mean), the bound, and how far
    the value may still move towards what is worse. All in the metric's unit; where `left` is negative it is broken."""

    value: float
    bound: float
    left: float


def room(guardrail: Guardrail, values: Sequence[float], baseline: Sequence[float], version: int = 2) -> Room | None:
    """The room that the values of a trial's ok runs on the top rung leave; arguments as those of `breach`.

    None where there is nothing to say: no values, or a relative bound without those of the baseline.
    """
    if not values:
        return None
    if guardrail.at_most is not None:
        value = max(values)
        return Room(value, guardrail.at_most, guardrail.at_most - value)
    if guardrail.at_least is not None:
        value = min(values)
        return Room(value, guardrail.at_least, value - guardrail.at_least)
    if not baseline:
        return None
    mean, start = sum(values) / len(values), sum(baseline) / len(baseline)
    share, noise = _allowed(guardrail, len(values), baseline, version)
    allowed, sign = share + noise, 1 if guardrail.minimize else -1
    return Room(mean, start + sign * allowed, allowed - sign * (mean - start))


def built_in(names: frozenset[str], run: Run, diff: Mapping[str, int]) -> dict[str, float]:
    """Those of the wanted built-in metrics that are known of a run; a cost of no seconds was not measured."""
    known: dict[str, float] = {}
    if run.cost.seconds > 0:
        known |= {name: float(getattr(run.cost, part)) for name, part in FROM_COST.items()}
    memory = run.data.get("peak_memory_bytes")
    if isinstance(memory, int | float) and memory > 0:
        known[MEMORY] = float(memory)
    known |= {name: float(size) for name, size in diff.items()}
    return {name: value for name, value in known.items() if name in names}


def diff_size(patch: str) -> dict[str, int]:
    """Lines that a unified diff adds or removes, and their bytes in UTF-8 (line ends not counted).

    Headers are told from removed and added lines by the line counts of each hunk, so no text can pass for one.
    """
    lines = size = old = new = 0
    for line in patch.split("\n"):
        if old <= 0 and new <= 0:
            if line.startswith("@@ -"):
                old, new = (_length(part) for part in line.split(" ")[1:3])
            continue
        if line[:1] in ("+", "-"):
            lines, size = lines + 1, size + len(line[1:].removesuffix("\r").encode("utf-8", "surrogatepass"))
        if line[:1] != "\\":  # "\ No newline at end of file" is no line of either
            old -= line[:1] != "+"
            new -= line[:1] != "-"
    return dict(zip(DIFF, (lines, size), strict=True))


def _length(part: str) -> int:
    """How many lines "-12,3" or "+12" stands for."""
    _, comma, count = part.partition(",")
    return int(count) if comma else 1


def _values(metric: str, runs: Sequence[Run]) -> list[float]:
    return [run.metrics[metric] for run in runs if run.metrics is not None and metric in run.metrics]


def _broken(guardrail: Guardrail, values: Sequence[float], baseline: Sequence[float], version: int) -> str:
    """How values break a guardrail; empty where they hold it."""
    worst = f" (the worst of {len(values)} runs)" if len(values) > 1 else ""
    if guardrail.at_most is not None:
        value = max(values)
        return f"{guardrail.metric} is {value:.6g}{worst}, more than {guardrail.at_most:.6g}" * (
            value > guardrail.at_most
        )
    if guardrail.at_least is not None:
        value = min(values)
        return f"{guardrail.metric} is {value:.6g}{worst}, less than {guardrail.at_least:.6g}" * (
            value < guardrail.at_least
        )
    if not baseline:
        return ""
    mean, start = sum(values) / len(values), sum(baseline) / len(baseline)
    share, noise = _allowed(guardrail, len(values), baseline, version)
    sign = 1 if guardrail.minimize else -1
    if sign * (mean - start) <= share + noise:
        return ""
    bound = start + sign * (share + noise)
    return (
        f"{guardrail.metric} is {mean:.6g}{f' (mean of {len(values)} runs)' if len(values) > 1 else ''}, worse than "
        f"{bound:.6g}: the baseline's {start:.6g}, {share:.3g} allowed, and {noise:.3g} for noise"
    )


def _allowed(guardrail: Guardrail, many: int, baseline: Sequence[float], version: int) -> tuple[float, float]:
    """By how much the mean of so many runs may be worse than the baseline's: the share, and what is for noise."""
    share = abs(sum(baseline) / len(baseline)) * (guardrail.worse_by_at_most or 0.0)
    known = estimate(baseline)
    quantile = student(0.95, known.degrees) if version > 1 and known.degrees else ONE_SIDED_5_PERCENT
    return share, quantile * known.sd * math.sqrt(1 / many + 1 / len(baseline))
