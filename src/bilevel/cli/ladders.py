"""How the ladder looks in a terminal: a trial's rungs, what all forks say, and where each mechanism stands."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from bilevel.climbing import FAILED
from bilevel.mechanism_trials import MechanismTrial
from bilevel.report import Summary
from bilevel.standings import LIVE, Retired, rank_of
from bilevel.trial import Climb

MEANINGS = {
    "undecided": "not evidence either way yet: a positive effect is more than 5 % and less than 95 % likely",
    "helped": "over all its forks a positive effect is at least 95 % likely",
    "hurt": "over all its forks a positive effect is at most 5 % likely",
    "confirmed": "e-value of at least 20, in the end beside all that were tested (e-BH): 1 in 20 at most if none helps",
    "inert": "it changed no decision, so no gain is credited to it",
}
LONGEST = 160  # characters of a reason in a line of a list


def explained(words: Iterable[str]) -> list[str]:
    """A line for each of these words that is a verdict."""
    found = set(words)
    return [f"{word}: {meaning}" for word, meaning in MEANINGS.items() if word in found]


def verdict_words(climbs: Iterable[Climb]) -> set[str]:
    """The verdicts that occur in these climbs, as a terminal shows them."""
    return {word for climb in climbs for word in (climb.outcome, climb.evidence.get("word", "")) if word in MEANINGS}


def rungs_text(climbs: Iterable[Climb]) -> str:
    """The rungs of one mechanism in a line."""
    return " · ".join(_rung(climb) for climb in climbs)


def cut(text: str, longest: int = LONGEST) -> str:
    """A text as one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _rung(climb: Climb) -> str:
    said = f"{climb.rung} {climb.outcome}"
    if climb.rung == "door" and climb.outcome != "off":
        return f"{said} in {climb.seconds:.1f} s"
    if climb.rung == "replay" and climb.outcome == "passed":
        return f"{said}: {_decisive(climb)}"
    return said


def _decisive(climb: Climb) -> str:
    """Of what a replay counted, the hooks that were decisive; else the advice, which is measured live."""
    parts = []
    for where, hooks in climb.evidence.items():
        place = "" if where == "this run" else f" on {where}"
        parts += [f"{hook} decisive {n[2]} of {n[0]}{place}" for hook, n in hooks.items() if n[2]]
    touched = [f"advice given {n[1]} of {n[0]}" for hooks in climb.evidence.values() for h, n in hooks.items()
               if h == "advise" and n[1]]  # fmt: skip
    return ", ".join(parts or touched[:1]) or cut(climb.reason)


# ---- one trial ----


def print_climbs(out: Console, mechanism: MechanismTrial) -> None:
    """The drafts that did not get so far, the rungs of the one that did, and why it was no good where it was not."""
    place = f"`bilevel show RUN --branch {mechanism.branch} --trial {mechanism.trial}`"
    for climb in mechanism.refused:
        said = f"{climb.mechanism} ({climb.source[:8]}) {climb.rung} {climb.outcome}: {cut(climb.reason)}"
        _line(out, f"draft turned back: {said}")
    if any(cut(climb.reason) != climb.reason for climb in mechanism.refused):
        _line(out, f"({place} has the whole)")
    if mechanism.climbs:
        _line(out, f"ladder: {rungs_text(mechanism.climbs)}")
    for climb in mechanism.climbs:
        if climb.rung in LIVE and climb.outcome in FAILED:
            _line(out, f"{climb.rung} {climb.outcome}: {climb.reason}")


def print_gains(out: Console, mechanism: MechanismTrial, unit: str) -> None:
    """The gain over each control, what chance alone did, and what all forks of the mechanism say together."""
    left_out = mechanism.change == "leave out"
    here, there = ("without it", "with it") if left_out else ("challenger", "control")
    if mechanism.pairs:
        arms = f"{here} {number(mechanism.challenger_best)}, {there} {number(mechanism.control_best)}"
        what = "gain of leaving it out" if left_out else _over(mechanism)
        gain = mechanism.gains.get("control", mechanism.gain) if left_out else mechanism.gain
        _line(out, f"{what} {number(gain)} {unit} ({arms})".replace("  ", " "))
        if len(mechanism.gains) > 1 or mechanism.again:
            _line(out, _by_control(mechanism))
    elif mechanism.ran and mechanism.name:
        _line(out, f"no control in this cycle: the gain of {number(mechanism.gain)} is over its start, proves nothing")
    if mechanism.said and mechanism.pairs and mechanism.said not in mechanism.reason:
        _line(out, f"all its forks so far: {mechanism.said}")


def _over(mechanism: MechanismTrial) -> str:
    return "gain against the best of its controls" if len(mechanism.gains) > 1 else "gain against its control"


def _by_control(mechanism: MechanismTrial) -> str:
    names = {"control": "the control"}
    parts = [f"{names.get(name, name)} {gain:+.4g}" for name, gain in mechanism.gains.items()]
    chance = ", ".join(f"{abs(value):.4g}" for value in mechanism.again)
    again = f"; the same loop again differed by {chance}" if mechanism.again else ""
    return f"over {', over '.join(parts)}{again}"


def decided(mechanism: MechanismTrial) -> str:
    """What became of a mechanism in its trial, as markup."""
    good = mechanism.kept != (mechanism.change == "leave out")
    word, _, more = decided_plainly(mechanism).partition(",")
    return f"[{'green' if good else 'yellow'}]{word}[/]{',' if more else ''}{more}"


def decided_plainly(mechanism: MechanismTrial) -> str:
    """The same in words."""
    if mechanism.change == "leave out":
        return "left out for good" if mechanism.kept else "back in force"
    return "kept, provisional" if mechanism.kept else "discarded"


def heading(mechanism: MechanismTrial) -> str:
    """What a trial did with a mechanism, in a few words."""
    if mechanism.change == "leave out":
        how = f"for good: {mechanism.reason.partition(':')[0]}" if mechanism.kept else "once"
        return f"{mechanism.name} left out {how}"
    return f"{mechanism.change} {mechanism.name}" if mechanism.name else mechanism.change


# ---- a run ----


def print_ladder(out: Console, summary: Summary) -> None:
    """Where each mechanism stands, which were retired, and which rungs are off in this run."""
    if summary.ladder is None:
        print_retired(out, summary.retired)
        return
    out.print("\n[bold]ladder[/]", highlight=False)
    for one in summary.ladder.standings:
        onto = f" on level {rank_of(one.level) - 1}" if rank_of(one.level) > 2 else ""
        _line(out, f"{one.mechanism} ({one.source[:8]}){onto}: {cut(str(one), 2 * LONGEST)}")
    if not summary.ladder.standings:
        _line(out, "no mechanism has climbed yet")
    print_retired(out, summary.retired)
    for note in summary.ladder.notes:
        _line(out, note)
    print_yields(out, summary)


def print_yields(out: Console, summary: Summary) -> None:
    """What each level that searches mechanisms was worth itself, and what was lifted onto the one below it."""
    for number, level in enumerate(summary.yields, 2):
        out.print(f"\n[bold]level {number} itself[/]", highlight=False)
        for sentence in level.sentences:
            _line(out, sentence)
        for name, gains in level.lifted.items():
            told = ", ".join(f"{gain:+.4g}" for gain in gains) or "inert in all its forks"
            _line(out, f"{name} onto level {number - 1}, over its unlifted twin: {told}")


def print_retired(out: Console, retired: Iterable[Retired]) -> None:
    """The mechanisms that failed too often on a branch."""
    for one in retired:
        _line(out, f"{one.mechanism} {cut(str(one), 2 * LONGEST)}")


def print_meanings(out: Console, summary: Summary) -> None:
    """What the verdicts mean that the summary is about to use."""
    climbs = [climb for mechanism in summary.mechanisms for climb in (*mechanism.climbs, *mechanism.refused)]
    lines = explained(verdict_words(climbs))
    if lines:
        out.print()
    for line in lines:
        word, _, meaning = line.partition(":")
        out.print(f"[bold]{escape(word)}[/]:{escape(meaning)}", highlight=False, soft_wrap=True)


def print_whole_climb(out: Console, climb: Climb) -> None:
    """One rung with all that was said of it."""
    cost = f"{climb.seconds:.2f} s" + (f", {climb.evaluations} evaluations" if climb.evaluations else "")
    out.print(
        f"ladder, {climb.mechanism} ({climb.source[:8]}): {climb.rung} {climb.outcome} ({cost}): {climb.reason}",
        highlight=False, markup=False,
    )  # fmt: skip


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _line(out: Console, text: str) -> None:
    out.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
