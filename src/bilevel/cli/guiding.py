"""How addenda to the steps of a workflow look in a terminal."""

from rich.console import Console

from bilevel.cli.ladders import cut, number
from bilevel.guided import AddendumTrial, Guided


def print_guided(out: Console, found: Guided, unit: str) -> None:
    """Each fork of an addendum with its gain and what all its forks say, and what is in force."""
    out.print("\n[bold]addenda to steps[/], each beside the same cycle without it, on the same seeds", highlight=False)
    for one in found.trials:
        _line(out, f"level 1.5, trial {one.trial}: {one.change} {one.step}: {cut(one.text)}")
        here, there = ("with it", "without it") if one.change in ("add", "replace") else ("without it", "with it")
        if one.change == "replace":
            there = "with the old one"
        arms = f"{here} {number(one.challenger_best)}, {there} {number(one.control_best)}"
        gain = "none" if one.gain is None else f"{one.gain:+.4g}"
        _line(out, f"  gain {gain} {unit} ({arms}); {_decided(one)}: {one.reason}".replace("  (", " ("))
        if one.verdict is not None and one.verdict.sentence not in one.reason:
            _line(out, f"  all forks of this text: {one.verdict.sentence}")
    if not found.trials:
        _line(out, "none was tried yet")
    force = "; ".join(f"{step}: {cut(text)}" for step, text in found.in_force.items())
    _line(out, f"in force at the end: {force or 'none'}")


def _decided(one: AddendumTrial) -> str:
    if one.change in ("add", "replace"):
        return "kept" if one.kept else "dropped"
    return "taken out" if one.kept else "stays"


def _line(out: Console, text: str) -> None:
    out.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)
