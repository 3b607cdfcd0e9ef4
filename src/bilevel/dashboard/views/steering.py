"""What persons told a run and what became of it, and, with the token, forms for further acts.

The forms are hidden until the page's script has a token; what they send is checked by the server (`dashboard.hand`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bilevel.cli.steering import acts_of, became, when
from bilevel.compare.drawing import text
from bilevel.dashboard.frame import Page, address, level_title, link, nothing, section, table
from bilevel.dashboard.watched import Watched
from bilevel.levels import LoopTask, levels_of
from bilevel.steering.hearing import GATE
from bilevel.surfaces import guests_of

HELP = (
    "This page only reads. `bilevel serve --steer` prints an address with a token; opened with it, this page has "
    "buttons. In a terminal: bilevel steer."
)


def steering(run: Watched, query: Mapping[str, str]) -> Page:
    acts, waits = acts_of(run.store), run.opened.folder.meta(GATE)
    asked = "" if waits is None else waiting(run, waits, here=True)
    forms = _forms(run, waits)
    rows = [
        (
            str(act["number"]),
            text(when(act["at"])),
            text(act["author"]),
            text(act["said"]),
            text(became(act)),
        )
        for act in reversed(acts)
    ]
    listed = table(("act", "when", "who", "what", "what became of it"), rows, left=(1, 2, 3, 4)) if rows else ""
    body = f'{asked}<div class="hands" hidden>{forms}</div><p class="soft handless">{text(HELP)}</p>'
    return Page("Steering", body + section("Acts", listed or nothing("Nobody has steered this run.")), run, "steering")


def waiting(run: Watched, waits: Mapping[str, Any], here: bool = False) -> str:
    """What waits for a person, with a link to where it is answered."""
    where = "" if here else f" {link(address(run.key, 'steering'), 'answer')}"
    return f'<p class="waits">Waits for a person since {text(when(waits["at"]))}: {text(waits["said"])}{where}</p>\n'


def _forms(run: Watched, waits: Mapping[str, Any] | None) -> str:
    inner = levels_of(run.spec)[0]
    hears = [loop.name for loop in levels_of(run.spec) if loop.researcher.reads_advice]
    why, forms = _field("text", "why"), []
    if waits is not None:
        hidden = f'<input type="hidden" name="what" value="{text(waits["id"])}">'
        forms.append(_form(run, "The gate", hidden + why, ("approve", "reject")))
    forms.append(_form(run, "The run", why, ("pause", "resume", "stop")))
    if hears:
        said = '<label>guidance <textarea name="text" rows="2" cols="60" required></textarea></label>'
        levels = [(name, level_title(name)) for name in hears]
        forms.append(_form(run, "Researchers", said + _choice("level", "of", levels), ("guide",)))
    names = [(name, name) for name in inner.task.space.unlocked]
    forms.append(_form(run, "Parameters", _choice("what", "parameter", names) + why, ("freeze", "unfreeze")))
    found = [(name, name) for name in _mechanisms(run)]
    if found:
        forms.append(_form(run, "Mechanisms", _choice("what", "mechanism", found) + why, ("pin", "retire")))
    kinds = ("cycles" if isinstance(run.spec.task, LoopTask) else "trials", "evaluations", "seconds", "tokens", "money")
    number = '<label>to <input name="value" inputmode="decimal" size="9" required></label>'
    forms.append(_form(run, "Budget", _choice("what", "budget", [(one, one) for one in kinds]) + number, ("budget",)))
    return "".join(forms)


def _mechanisms(run: Watched) -> list[str]:
    """The names of mechanisms that are in force or on trial, as far as it is known here; the act is checked again."""
    found = [guest.name for loop in levels_of(run.spec) for guest in loop.mechanisms]
    summary = run.summary(0.0).summary
    found += summary.in_force if summary is not None else ()
    for loop in levels_of(run.spec)[1:]:
        if not loop.name.startswith("mechanisms"):
            continue
        for branch in run.branches(loop.name):
            for pending in run.store.pendings(branch.id):
                found += [guest.name for guest in guests_of(pending.proposal.candidate)]
    return sorted(set(found))


def _form(run: Watched, title: str, fields: str, kinds: Sequence[str]) -> str:
    buttons = "".join(f'<button name="kind" value="{kind}">{kind}</button>' for kind in kinds)
    target = address(run.key, "steer")
    return (
        f'<form class="hand" method="post" action="{target}"><fieldset><legend>{text(title)}</legend>'
        f'{fields} {buttons} <output role="status"></output></fieldset></form>\n'
    )


def _field(name: str, said: str) -> str:
    return f'<label>{text(said)} <input name="{name}" size="28"></label>'


def _choice(name: str, said: str, options: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<option value="{text(value)}">{text(shown)}</option>' for value, shown in options)
    return f'<label>{text(said)} <select name="{name}">{items}</select></label>'
