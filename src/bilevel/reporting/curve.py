"""The curve of a run: all scores, the best so far with its noise band, arms, and where mechanisms came and went."""

from dataclasses import replace

from bilevel.dashboard.charts import Line, Mark, progress
from bilevel.dashboard.frame import count, legend
from bilevel.dashboard.spans import arm_lines, mechanism_marks
from bilevel.dashboard.watched import Watched
from bilevel.reporting.document import Picture
from bilevel.reporting.words import number


def lines_of(run: Watched) -> tuple[list[Line], list[Mark], float]:
    """The lines and marks of the curve, and the standard deviation of one measurement (0 where it is not known)."""
    noise, inner = run.noise, run.inner
    sd = noise.sd if noise is not None and noise.n > 1 else 0.0
    return arm_lines(run, inner), [replace(mark, href="") for mark in mechanism_marks(run, inner)], sd


def curve(run: Watched) -> Picture:
    """The picture; it leads nowhere, so that it can be pasted."""
    inner, objective = run.inner, run.objective
    lines, marks, sd = lines_of(run)
    end = lines[0].steps[-1][1] if lines and lines[0].steps else None
    unit = f" {objective.unit}" if objective.unit else ""
    said = f"best {objective.name} so far over {len(inner)} trials: it ends at {number(end, unit)}"
    drawn = progress(inner, objective, lines, marks, sd, (), said)
    arms = any(line.kind.startswith("arm") for line in lines)
    keys = [("best", "best so far"), *([("band", f"± 1 sd of one measurement ({sd:.2g})")] if sd else [])]
    keys += [("arm challenger", "a fork's challenger"), ("arm control", "its control")] if arms else []
    kinds = {"mark kept": "kept", "mark": "discarded", "mark failed": "no score"}
    dots = "".join(f'<li><span class="{kind}">{name}</span></li>' for kind, name in kinds.items())
    measure = f"{objective.name} ({objective.unit})" if objective.unit else objective.name
    notes = [f"{measure} over {count(len(inner), 'trial')} of level 1"]
    notes += ["all arms, in the order in which branches were opened"] if arms else []
    notes += ["upright lines: mechanisms that came into force (+) or went out (−)"] if marks else []
    notes += [f"beyond the axis, at its edge: {count(drawn.beyond, 'point')}"] if drawn.beyond else []
    notes += [f"without a point of their own: {count(drawn.left_out, 'trial')}"] if drawn.left_out else []
    return Picture("curve", drawn.svg, legend(keys, dots), f"{'; '.join(notes)}.")
