"""How the claim stage of a run looks in a terminal."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from bilevel.claim import REFUTED, Claimed, Said
from bilevel.cli.ladders import number


def print_answer(console: Console, claim: Claimed, unit: str) -> None:
    """The final answer's mean on fresh seeds, and its gain over the baseline's."""
    if claim.skipped:
        console.print(f"  answer    as it was seen: {claim.skipped}", highlight=False)
        return
    if claim.mean is None and not claim.whole.pairs:
        note = claim.whole.note or "`bilevel confirm` does it"
        console.print(f"  answer    has no mean on fresh seeds: {note}", highlight=False)
        return
    same = "" if claim.answer == claim.incumbent else " after rolling back"
    seeds = f"mean of {claim.seeds} fresh seeds{same}"
    console.print(f"  answer    [bold]{number(claim.mean)}[/]{unit}   {seeds}", highlight=False)
    for line in _gained(claim, unit):
        console.print(f"            {line}", highlight=False)
    if claim.whole.note:
        console.print(f"            {claim.whole.note}", highlight=False)
    if claim.regret is not None:
        console.print(f"            simple regret {claim.regret:.4g}{unit} (on the true mean)", highlight=False)


def print_claims(console: Console, claim: Claimed, unit: str) -> None:
    """Each change on the way to the incumbent with its status, the sealed metrics, and what the claims cost."""
    if claim.changes:
        table = Table(box=None, pad_edge=False, padding=(0, 2), title="what each change is worth", title_justify="left")
        for name in ("trial", "change", "status"):
            table.add_column(name)
        for name in ("effect", "interval", "pairs", "e-value"):
            table.add_column(name, justify="right")
        table.add_column("")
        for said in claim.changes:
            made = [f"{name}: {old!r} -> {new!r}" for name, (old, new) in said.changes.items()]
            effect = "" if said.effect is None else f"{said.effect:+.4g}"
            table.add_row(
                said.trial, "\n".join([*made, *said.files]), said.status, effect, interval(said),
                str(said.pairs) if said.pairs else "", f"{said.e_value:.3g}" if said.pairs else "", said.note,
            )  # fmt: skip
        console.print(table, highlight=False, markup=False)
    for name, metrics in claim.sealed.items():
        shown = ", ".join(f"{metric} {number(value)}" for metric, value in metrics.items()) or "failed"
        console.print(f"  sealed, {name}: {shown} (one measurement)", highlight=False)
    if claim.cost.evaluations:
        more = "" if claim.complete else "; not finished"
        console.print(
            f"  claims cost {claim.cost.evaluations} measurements, {claim.cost.seconds:.1f} s, beside the search{more}",
            highlight=False,
        )


def interval(said: Said) -> str:
    """The bounds of an effect; empty where nothing bounds it."""
    if said.low is None and said.high is None:
        return ""
    low = "-inf" if said.low is None else f"{said.low:+.4g}"
    high = "+inf" if said.high is None else f"{said.high:+.4g}"
    return f"[{low}, {high}]"


def _gained(claim: Claimed, unit: str) -> Iterator[str]:
    """The gain behind the two means that it is the difference of; the answer's where it is not the one above."""
    base = f"against the baseline's {number(claim.baseline)}{unit}:"
    if not claim.whole.pairs:
        yield _said(claim.whole)
    elif claim.paired == claim.mean:
        yield f"{base} {_said(claim.whole)}"
    else:
        whose = "what was found" if claim.whole.status == REFUTED else f"on {claim.whole.pairs} of them"
        yield f"{whose} {number(claim.paired)}{unit} {base}"
        yield _said(claim.whole)


def _said(said: Said) -> str:
    if said.effect is None:
        return f"{said.status}, no pairs"
    pairs = f"{said.pairs} pair{'s' if said.pairs > 1 else ''}, e-value {said.e_value:.3g}"
    return f"gain {said.effect:+.4g} {interval(said)} ({said.status}: {pairs})".replace("  ", " ")
