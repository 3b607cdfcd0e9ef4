"""What a run claims: its answer, each change, and its mechanisms; each with effect, interval, evidence and control.

The same as in claims.json, and computed from the same records.
"""

from collections.abc import Mapping, Sequence

from bilevel.claim import STANDS
from bilevel.claiming import FACT
from bilevel.cli import helping, ladders
from bilevel.compare.drawing import Scale, text
from bilevel.dashboard.frame import Page, address, facts, link, nothing, number, section, table, trial_link
from bilevel.dashboard.intervals import axis_of, labels, row, words
from bilevel.dashboard.views.trials import BAD, outcome
from bilevel.dashboard.watched import Watched
from bilevel.statements import FILE, STATED, Statement, Statements

CHANGES = {
    STANDS: "the pairs say so: an e-value of at least 20; of several changes, by e-BH over all of them at 5 %",
    "refuted": "on average no better with it than without it, so it was taken back",
    "provisional": "not known either way: too few pairs for its size, or not measured",
}
SHORT = 12  # characters of a hash in the name of a mechanism


def claims(run: Watched, query: Mapping[str, str]) -> Page:
    known = run.summary(run.patience)
    found = known.statements
    if not run.inner:
        return Page("Claims", nothing("Nothing is measured yet, so nothing is claimed."), run, "claims")
    if found is None:
        said = known.trouble or "This page fills itself as soon as the run is summed up."
        return Page("Claims", nothing(said), run, "claims")
    by_kind: dict[str, list[Statement]] = {}
    for one in found.claims:
        by_kind.setdefault(one.kind, []).append(one)
    parts = [_answer(run, found, by_kind["answer"][0]), _changes(run, by_kind.get("change", []))]
    parts += [_whole_loops(run, by_kind.get("whole loops", [])), _forks(run, by_kind.get("mechanism", []))]
    return Page("Claims", "".join(parts) + _file(run), run, "claims")


def _file(run: Watched) -> str:
    if run.opened.folder.meta(STATED) and (run.path / FILE).is_file():
        said = f"The same stands in {FILE} of the run's folder for other programs; `bilevel verify` computes it again."
    else:
        said = f"This is how it stands now; {FILE} is written when the run has ended, and has none of it yet."
    return f'<p class="soft">{text(said)}</p>'


def _answer(run: Watched, found: Statements, one: Statement) -> str:
    mean, control = number(one.value, one.unit), number(one.control_value, one.unit)
    said = {
        "status": outcome(one.status),
        "effect": f"<strong>{text(words(one))}</strong>" if one.effect is not None else "",
        "mean of the answer": text(mean) if one.value is not None else "",
        "of the baseline": text(control) if one.control_value is not None else "",
        "pairs": text(one.tries.pairs or ""),
        "e-value": text(_evidence(one)),
        "candidates tried": text(one.tries.candidates),
        "gain, best seen": text("" if found.seen is None else f"{found.seen:+.4g} (no claim: it flatters)"),
    }
    note = f"Claimed: {one.claim}. Control: {one.control}." + (f" {_sentence(one.interval)}" if one.interval else "")
    told = "the search goes on: its answer is measured on fresh seeds when it has ended" if _waits(run) else one.note
    more = f"<p>{text(_sentence(told))}</p>" if told else ""
    return section("The answer", facts(said) + more + _meanings([one], CHANGES), note)


def _waits(run: Watched) -> bool:
    """Whether the claim stage is still to come."""
    return run.live and run.recipe.claim.on and run.opened.folder.meta(FACT) is None


def _changes(run: Watched, found: Sequence[Statement]) -> str:
    if not found:
        none = "No change was measured apart: there is none to tell from the others."
        return section("Changes", nothing("None is measured apart yet." if _waits(run) else none))
    note = f"Control of each: {found[0].control}. Judged together: {found[0].tries.together}."
    header = ("trial", "change", "status", *_header(found), "pairs", "")
    scale = axis_of(found)
    rows = [_row(_trial(run, one.subject), one, one.claim.removesuffix(" helps"), scale) for one in found]
    listed = _table(header, rows, found, (1, 2, 7))
    return section("Changes", listed + _meanings(found, CHANGES), note)


def _whole_loops(run: Watched, found: Sequence[Statement]) -> str:
    if not found:
        return ""
    note = f"Control: {found[0].control}. Judged together: {found[0].tries.together}."
    header = ("mechanism", "claim", "status", *_header(found), "pairs", "")
    scale = axis_of(found)
    rows = [_row(_mechanism(run, one.subject), one, one.claim, scale) for one in found]
    listed = _table(header, rows, found, (0, 1, 2, 7))
    return section("Mechanisms, in whole loops", listed + _meanings(found, helping.MEANINGS), note)


def _forks(run: Watched, found: Sequence[Statement]) -> str:
    if not found:
        return ""
    header = ("mechanism", "status", *_header(found), "forks", "judged together", "")
    controls = list(dict.fromkeys(one.control for one in found))
    scale = axis_of(found)
    rows = [
        (
            _mechanism(run, one.subject),
            outcome(one.status),
            *_effect(one, scale),
            str(one.tries.forks),
            str(one.tries.together),
            f'<span class="wrap">{text(_beside(one, controls))}</span>',
        )
        for one in found
    ]
    kinds = dict.fromkeys(one.interval for one in found if one.interval)
    said = [f"Interval: {kind}." for kind in kinds]
    note = " ".join([*said, f"Control: {controls[0]}."] if len(controls) == 1 else said)
    listed = _table(header, rows, found, (0, 1, 7))
    return section("Mechanisms, by their forks", listed + _meanings(found, ladders.MEANINGS), note)


def _beside(one: Statement, controls: Sequence[str]) -> str:
    """What is said of one mechanism beside the numbers; its control, where not all have the same."""
    return "; ".join(filter(None, [f"control: {one.control}" if len(controls) > 1 else "", one.note]))


# ---- parts ----


def _header(found: Sequence[Statement]) -> tuple[str, ...]:
    unit = next((one.unit for one in found if one.unit), "")
    return f"effect {unit}".strip(), "", "e-value"


def _row(subject: str, one: Statement, claim: str, scale: Scale | None) -> tuple[str, ...]:
    """A statement as a row: what it is about, what it says, how it stands, and on what evidence."""
    claimed, note = (f'<span class="wrap">{text(said)}</span>' for said in (claim, one.note))
    return subject, claimed, outcome(one.status), *_effect(one, scale), str(one.tries.pairs), note


def _effect(one: Statement, scale: Scale | None) -> tuple[str, str, str]:
    drawn = "" if scale is None else row(one, scale, "bad" if one.status in BAD else one.status)
    return text(words(one) or "not measured"), drawn, text(_evidence(one))


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], found: Sequence[Statement], left: Sequence[int]
) -> str:
    """The table, with the labels of the shared axis as its first row."""
    scale, shown = axis_of(found), list(rows)
    if scale is not None:
        place = header.index("e-value") - 1
        shown.insert(0, ["" if n != place else labels(scale) for n in range(len(header))])
    return table(header, shown, left=left, about="claims")


def _evidence(one: Statement) -> str:
    return "" if one.e_value is None else f"{one.e_value:.3g}"


def _trial(run: Watched, place: str) -> str:
    branch, _, trial = place.rpartition("#")
    return trial_link(run.key, run.owner(branch, int(trial)), int(trial), trial, "row")


def _mechanism(run: Watched, subject: str) -> str:
    name, _, source = subject.rpartition(" ") if " " in subject else (subject, "", "")
    known = link(address(run.key, "mechanism", name=name), name, "row")
    return f"{known} {text(source[:SHORT])}" if source else known


def _meanings(found: Sequence[Statement], known: Mapping[str, str]) -> str:
    met = dict.fromkeys(one.status for one in found)
    said = "".join(f"<dt>{text(word)}</dt><dd>{text(known[word])}</dd>" for word in met if word in known)
    return f'<dl class="words">{said}</dl>' if said else ""


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}." if said else ""
