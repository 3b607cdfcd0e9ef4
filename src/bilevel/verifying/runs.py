"""A run folder: its records against each other, and what its `claims.json` states against what they give."""

import json
from pathlib import Path
from typing import Any

from bilevel import confirming, machine
from bilevel.claiming import FACT
from bilevel.codec import plain
from bilevel.errors import BilevelError, StoreError
from bilevel.hosting import Hosting
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.recipe import resolve
from bilevel.run import known_noise, recorded, verdicts_of
from bilevel.statements import FILE, PAIRED, STATED, statements_of, written
from bilevel.store.folder import RunFolder
from bilevel.verifying.stage import check_stage
from bilevel.verifying.tally import NOTHING, Tally
from bilevel.verifying.trials import check_search

ENDED = ("finished", "limit", "stopped", "interrupted", "waiting")


def check_run(tally: Tally, path: Path, stated: Path | None = None) -> None:
    """One run folder. `stated`: a file of claims in place of the folder's own."""
    folder = RunFolder.read(path)
    try:
        with folder.store.snapshot():
            _check(tally, folder, path / FILE if stated is None else stated, wanted=stated is not None)
    finally:
        folder.close()


def _check(tally: Tally, folder: RunFolder[Any], claims: Path, wanted: bool) -> None:
    config = folder.config
    recipe = resolve(config["recipe"])
    hosting = Hosting(recipe.sandbox, verdicts_of(folder))
    try:
        recipe, spec = recorded(config, hosting)
        state = str(folder.meta("state") or "created")
        going_on = state not in ENDED and folder.has_writer()
        if going_on:
            tally.note("the run goes on: what is stored so far is checked")
        elif state not in ("finished", "limit"):
            state = state if state in ENDED else "interrupted"  # its process is no more
            tally.note(f"the run has not ended ({state}): what is stored so far is checked")
        _on_this_machine(tally, folder)
        harness = folder.meta("harness")
        if harness is None:
            tally.note("made by an earlier version, which did not store what measured it (its harness)")
        elif harness != leaf(spec).task.harness:
            tally.note("what measures the task has changed since: its records are checked, new scores would differ")
        _check_config(tally, folder)
        check_search(tally, folder, spec)
        _check_noise(tally, folder)
        if harness is not None and harness != leaf(spec).task.harness:
            if folder.meta(FACT) is not None or claims.is_file():
                tally.differs(
                    claims.name, "what was measured on fresh seeds",
                    "nothing while the task is measured otherwise than then; put it back as it was to verify this",
                )  # fmt: skip
            return
        check_stage(tally, folder, recipe, spec)
        _check_loops(tally, folder, spec)
        _check_claims(tally, folder, spec, claims, wanted or (state in ("finished", "limit") and not going_on))
    finally:
        hosting.close()


def _on_this_machine(tally: Tally, folder: RunFolder[Any]) -> None:
    """Where the machine is another one, numbers may differ in their last digits."""
    made_on = folder.meta("environment") or {}
    others = machine.differences(made_on, machine.facts()) + [
        one["differs"][0] for one in folder.meta("machines") or [] if one.get("differs")
    ]
    tally.exact = not others and bool(made_on)
    if others or not made_on:
        said = f"made on another machine ({others[0]})" if others else "it is not known on which machine it was made"
        tally.note(f"{said}: numbers are compared to nine digits")


def _check_config(tally: Tally, folder: RunFolder[Any]) -> None:
    """`run.json` beside the store says how the run was started, for people."""
    path = folder.path / "run.json"
    if not path.is_file():
        tally.note("there is no run.json beside the store")
        return
    tally.equal("run.json", read_json(path), folder.config)


def _check_noise(tally: Tally, folder: RunFolder[Any]) -> None:
    """What was known of the noise at the start, as trial 0 of each search has it."""
    noise = known_noise(folder.config).noise
    for branch in folder.store.branches() if noise is not None else ():
        for trial in [one for one in folder.store.trials(branch.id) if one.number == 0 and one.known is not None]:
            tally.equal(f"trial {branch.id}#0 known noise", plain(trial.known), plain(noise))


def _check_loops(tally: Tally, folder: RunFolder[Any], spec: LoopSpec) -> None:
    """The loops on fresh run seeds that tested mechanisms: what is stored of each against its trials."""
    for branch, stored, given in confirming.checked(folder.path, spec):
        tally.equal(f"{confirming.FOLDER} {branch}", stored, given)


def _check_claims(tally: Tally, folder: RunFolder[Any], spec: LoopSpec, path: Path, wanted: bool) -> None:
    if not path.is_file():
        if folder.meta(STATED):
            tally.differs(FILE, f"{NOTHING}: the file is not there", "claims, which were written when the run ended")
        elif wanted:
            tally.note(f"there is no {FILE}: this run has stated nothing (an earlier version wrote none)")
        return
    try:
        stated = read_json(path)
        form = stated["format"] if stated.get("format") in range(1, PAIRED) else PAIRED
        given = written(statements_of(folder, spec, str(folder.meta("state") or ""), form))
    except (BilevelError, ValueError, LookupError, AttributeError) as error:
        tally.differs(path.name, "claims", f"none: {error}")
        return
    tally.equal(path.name, stated, given)


def read_json(path: Path) -> Any:
    """What a file holds. Raises StoreError where it is no JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)!r} cannot be read: {error}") from error
