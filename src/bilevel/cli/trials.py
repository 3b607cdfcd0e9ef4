"""`show --trial`: one trial explained: where it began, what was asked, changed and measured, and what was decided."""

import difflib
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from bilevel.cli.ladders import explained, print_whole_climb, verdict_words
from bilevel.cli.printing import LEVEL_TITLES, console, jsonable, print_json, print_ledger, print_steps, visible
from bilevel.cli.progress import change_text
from bilevel.lab import Branch
from bilevel.steps import steps_of
from bilevel.store.reader import Reader
from bilevel.trial import Trial

LAST_LINES = 12  # of what a run printed that has a score; of one that has none all is shown


def show_trial(store: Reader, branch: str, trials: Sequence[Trial], number: int, *, as_json: bool) -> None:
    """One of the trials of a branch in full."""
    trial = trials[number]
    if as_json:
        print_json(jsonable(trial))
        return
    out, owner = console(), _owner(store, branch, number)
    out.print(f"[bold]trial {trial.number}[/]: {escape(change_text(trial))}", highlight=False)
    _line(out, f"{LEVEL_TITLES.get(owner.level, owner.level)}, branch {owner.id}{_start(trials, trial)}")
    _line(out, f"by {trial.proposal.author}: {trial.proposal.why}")
    _print_asked(out, store, owner, trial)
    verdict = "kept" if trial.decision.keep else "discarded"
    _line(out, f"{trial.status.value}, score {trial.score}; {verdict}: {trial.decision.reason}")
    _print_diff(trial)
    _print_runs(out, trial)
    for act in trial.acts:
        _line(out, f"taken up before it: {act.said} ({act.author})")
    if trial.isolation:
        _line(out, f"isolation in force: {trial.isolation}")
    _print_climbs(out, trial)
    for fault in trial.faults:
        _line(out, f"fault of {fault.guest} in {fault.hook}: {fault.message}")
    print_steps(out, steps_of(trial))
    for name, hooks in trial.ledger.items():
        out.print(f"ledger of {name}", markup=False)
        print_ledger(out, jsonable(hooks))
    for shadow in trial.shadows:
        asked = f"without the advice of {shadow.mechanism}" if shadow.mechanism else "again with the same text"
        away = "" if shadow.distance is None else f", {shadow.distance:.2g} of the scale away"
        _line(out, f"asked {asked}: {shadow.how}{away}")


def _owner(store: Reader, name: str, number: int) -> Branch:
    """The branch that added a trial: the named one, or one that it goes on from."""
    branch = store.branch(name)
    while branch.parent is not None and number < branch.at:
        branch = store.branch(branch.parent)
    return branch


def _start(trials: Sequence[Trial], trial: Trial) -> str:
    """From which trial's candidate it started."""
    if trial.number == 0:
        return ""
    before = next((one for one in trials if one.candidate.id == trial.parent.id and one.number < trial.number), None)
    moved = ", which a mechanism chose" if trial.moved else ""
    return "" if before is None else f", from the candidate of trial {before.number}{moved}"


def _print_asked(out: Console, store: Reader, owner: Branch, trial: Trial) -> None:
    """The calls to models that were made for it, and what the researcher was told and had learned."""
    place = owner.level, owner.id, trial.number
    calls = [call.number for call in store.calls() if (call.level, call.branch, call.trial) == place]
    if calls:
        _line(out, f"asked in the calls {', '.join(map(str, calls))} (`bilevel show RUN --call {calls[0]}` shows one)")
    for name, text in trial.told.items():
        _line(out, f"told before it ({name}): {text.strip()}")
    for lesson in trial.learned:
        _line(out, f"learned before it: {lesson.summary} ({lesson.kind}, confidence {lesson.confidence:g})")


def _print_diff(trial: Trial) -> None:
    for name in trial.candidate.files_changed_from(trial.parent):
        old, new = trial.parent.files.get(name, ""), trial.candidate.files.get(name, "")
        lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}")
        print(visible("".join(lines)))


def _print_runs(out: Console, trial: Trial) -> None:
    """Each run with its metrics, its cost and what it printed."""
    for run, of in [*((run, "") for run in trial.runs), *((run, " of the parent") for run in trial.parent_runs)]:
        metrics = ", ".join(f"{k} {v:.6g}" for k, v in (run.metrics or {}).items())
        said = f"run{of} on {run.rung}, seed {run.seed}: {run.status.value} {metrics}".rstrip()
        _line(out, f"{said} ({run.cost.seconds:.2f} s)")
        lines = run.log.strip().splitlines()
        shown = lines if run.metrics is None else lines[-LAST_LINES:]
        if len(shown) < len(lines):
            _line(out, f"  (the last {len(shown)} of {len(lines)} lines that it printed; --json has all)")
        for line in shown:
            _line(out, f"  {line}")
    for one in trial.fallen:
        whose = "the candidate" if one.candidate == trial.candidate.id else "its parent"
        _line(out, f"{whose} is out, by all its runs: {one.reason}")


def _print_climbs(out: Console, trial: Trial) -> None:
    """The rungs that its drafts climbed, and the drafts that were turned back."""
    for climb in trial.climbs:
        print_whole_climb(out, climb)
    for line in explained(verdict_words(trial.climbs)):
        _line(out, f"  {line}")
    told = [climb.reason for climb in trial.climbs]
    for back in trial.turned_back:
        if not any(reason in back.reason for reason in told):  # else it is one of the rungs above
            _line(out, f"turned back a draft of {back.author}: {back.reason}")


def _line(out: Console, text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
