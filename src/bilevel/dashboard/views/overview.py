"""Where a run stands: what it came to, the curve, what is in force, what was decided last."""

import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from bilevel.claim import Claimed
from bilevel.cli.claims import interval
from bilevel.cli.steering import when
from bilevel.compare.drawing import text
from bilevel.dashboard import frame
from bilevel.dashboard.charts import progress
from bilevel.dashboard.frame import Page, address, facts, nothing, number, section, table, trial_link
from bilevel.dashboard.records import Row
from bilevel.dashboard.spans import arm_lines, mechanism_marks
from bilevel.dashboard.views.steering import waiting
from bilevel.dashboard.views.trials import trial_table
from bilevel.dashboard.watched import Known, Watched
from bilevel.levels import leaf
from bilevel.report import Summary
from bilevel.steering.hearing import GATE

LAST = 12  # trials that the overview lists


def overview(run: Watched, query: Mapping[str, str]) -> Page:
    inner, known, waits = run.inner, run.summary(), run.opened.folder.meta(GATE)
    asked = "" if waits is None else waiting(run, waits)
    if not inner:
        said = "No trial is finished yet. This page shows the first one when it is."
        if not run.live:
            said += f" Nobody is at work on this run: `bilevel resume {shlex.quote(str(run.path))}` goes on with it."
        body = asked + _underway(run) + nothing(said)
        return Page(_title(run), body, run, "")
    parts = [asked, _numbers(run, inner, known), _curve(run, inner), _underway(run)]
    if known.summary is not None:
        parts += [_changes(run, known.summary), _force(run, known.summary)]
    shown = [row for level in reversed(run.levels[1:]) for row in run.rows(level)[-3:][::-1]]
    parts.append(section("Last decisions", trial_table(run, [*shown, *inner[-LAST:][::-1]])))
    parts.append(_report(run))
    return Page(_title(run), "".join(parts), run, "")


def _title(run: Watched) -> str:
    return f"{run.recipe.name} on {leaf(run.spec).task.name}"


def _numbers(run: Watched, inner: Sequence[Row], known: Known) -> str:
    objective, summary = run.objective, known.summary
    said = {"objective": text(f"{objective.name}, {'minimize' if objective.minimize else 'maximize'}")}
    if summary is not None:
        gain = "" if summary.gain is None else f"{summary.gain:+.4g}"
        said |= {
            "baseline": text(number(summary.baseline, summary.unit)),
            "best seen": f"<strong>{text(number(summary.best, summary.unit))}</strong>",
            "gain, best seen": text(gain),
        }
        if summary.claim is not None:
            said["on fresh seeds"] = frame.link(address(run.key, "claims"), _answer(summary.claim, summary.unit))
    noise = run.noise
    if noise is not None and noise.n > 1:
        said["noise"] = text(f"sd {noise.sd:.2g} over {noise.n} seeds, keep margin {noise.margin:.2g}")
    kept, failed = sum(row.keep for row in inner[1:]), sum(row.failed for row in inner)
    said["trials of level 1"] = text(f"{len(inner)}, of which {kept} kept, {failed} without a score")
    waiting = "" if known.current or known.trouble else nothing("The numbers are being brought up to date …")
    trouble = nothing(f"The summary cannot be made: {known.trouble}") if known.trouble else ""
    return facts(said) + waiting + trouble


def _answer(claim: Claimed, unit: str) -> str:
    """The final answer as it was measured again."""
    if claim.skipped:
        return f"not measured again: {claim.skipped}"
    whole = claim.whole
    gain = "" if whole.effect is None else f", gain {whole.effect:+.4g} {interval(whole)} ({whole.status})"
    return f"{number(claim.mean, unit)}, mean of {claim.seeds} seeds{gain}"


def _curve(run: Watched, inner: Sequence[Row]) -> str:
    noise = run.noise
    sd = noise.sd if noise is not None and noise.n > 1 else 0.0
    lines, marks = arm_lines(run, inner), mechanism_marks(run, inner)
    hrefs = [address(run.key, f"trial/{row.number}", branch=row.branch) for row in inner]
    end = lines[0].steps[-1][1] if lines and lines[0].steps else None
    unit = f" {run.objective.unit}" if run.objective.unit else ""
    said = f"best {run.objective.name} so far over {len(inner)} trials: it ends at {number(end)}{unit}"
    drawn = progress(inner, run.objective, lines, marks, sd, hrefs, said)
    arms = any(line.kind.startswith("arm") for line in lines)
    keys = [("best", "best so far"), *([("band", f"± 1 sd of one measurement ({sd:.2g})")] if sd else [])]
    keys += [("arm challenger", "a fork's challenger"), ("arm control", "its control")] if arms else []
    kinds = {"mark kept": "kept", "mark": "discarded", "mark failed": "no score"}
    dots = "".join(f'<li><span class="{kind}">{name}</span></li>' for kind, name in kinds.items())
    notes = [
        f"{run.objective.name}{f' ({run.objective.unit})' if run.objective.unit else ''} over the trials of level 1, "
        "all arms, in the order in which branches were opened"
    ]
    notes += ["upright lines: mechanisms that came into force (+) or went out (−)"] if marks else []
    notes += [f"beyond the axis, at its edge: {frame.count(drawn.beyond, 'point')}"] if drawn.beyond else []
    notes += [f"without a point of their own: {frame.count(drawn.left_out, 'trial')}"] if drawn.left_out else []
    caption = f"<figcaption>{text('; '.join(notes))}.</figcaption>"
    return section("Best so far", frame.legend(keys, dots) + f"<figure>{drawn.svg}{caption}</figure>")


def _underway(run: Watched) -> str:
    """What is being tried now: with several workers, several trials."""
    if not run.live:
        return ""
    rows = []
    for branch in run.branches():
        for pending in run.store.pendings(branch.id):
            rows.append(
                (
                    text(frame.level_title(branch.level)),
                    str(pending.number),
                    text(pending.proposal.author.partition(" (")[0]),
                    f'<span class="wrap">{text(frame.asked(pending))}</span>',
                    text(branch.id),
                )
            )
    if not rows:
        return ""
    return section("Under way", table(("level", "trial", "by", "change", "branch"), rows, left=(0, 2, 3, 4)))


def _report(run: Watched) -> str:
    """A link to the run's report, or what writes one."""
    command, written = f"bilevel report {shlex.quote(str(run.path))}", run.report
    if written is None:
        said = f"Nobody has written a report into its folder yet: <code>{text(command)}</code> does."
        return section("Report", f'<p class="soft">{said}</p>')
    found = frame.link(f"/report/{quote(run.key, safe='~')}", "the report of this run", "row")
    said = f"written {text(when(written.at))}"
    if written.old:
        said += f"; records have come since: <code>{text(command)}</code> writes it anew"
    return section("Report", f'<p>{found} <span class="soft">{said}</span></p>')


def _changes(run: Watched, summary: Summary) -> str:
    """What the best candidate changed."""
    rows = [(text(name), frame.value(old), frame.value(new)) for name, (old, new) in summary.changes.items()]
    rows += [(text(name), "", "edited") for name in summary.files]
    if not rows:
        return section("What the best changed", nothing("Nothing yet: the baseline is the best candidate so far."))
    branch, _, trial = summary.best_trial.rpartition("#")
    found = trial_link(run.key, branch, int(trial), f"trial {trial} of branch {branch}")
    return section(
        "What the best changed", table(("parameter", "baseline", "best"), rows, left=(0, 1, 2)) + f"<p>{found}</p>"
    )


def _force(run: Watched, summary: Summary) -> str:
    if not summary.in_force:
        return ""
    items = "".join(
        f"<li>{frame.link(address(run.key, 'mechanism', name=name), name)}</li>" for name in summary.in_force
    )
    return section("Mechanisms in force", f'<ul class="names">{items}</ul>')
