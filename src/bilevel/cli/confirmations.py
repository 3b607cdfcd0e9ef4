"""`confirm --mechanism`: whole loops with a mechanism and without it, and what they say."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from bilevel import confirming
from bilevel.cli.helping import print_helps
from bilevel.cli.printing import console, jsonable, print_json
from bilevel.cli.running import check_ended
from bilevel.errors import InputError, LimitReached, Stopped
from bilevel.helps import Help
from bilevel.levels import leaf
from bilevel.loop import LoopSpec
from bilevel.run import RunSession, resume, stopping
from bilevel.shelf.measuring import entries


def confirm_mechanisms(
    folder: Path, mechanism: str, pairs: int | None, trials: int | None, plan: bool,
    limits: Mapping[str, float | None], as_json: bool,
) -> None:  # fmt: skip
    """Test mechanisms of a run on fresh run seeds, and print what is known of all that were tested in it."""
    if pairs is not None and pairs < 1:
        raise InputError(f"--pairs {pairs}: at least one pair is needed")
    out = console(stderr=as_json)
    with resume(folder, limits) as session:
        check_ended(session)
        chosen = entries(session.folder.store, session.recipe, session.spec, mechanism, trials, folder)
        _announce(out, session, chosen, pairs or session.recipe.claim.most)
        if plan:
            return
        session.unsay_claims()
        _test(out, session, chosen, pairs, folder)
        session.state_claims()
        found = confirming.confirmed(session.folder.path, session.spec)
        unit = leaf(session.spec).task.objective.unit
    if as_json:
        print_json(jsonable(found))
    elif found is not None:
        print_helps(out, found, unit)


def _test(
    out: Console, session: RunSession, chosen: Sequence[confirming.Entry], pairs: int | None, folder: Path
) -> None:
    def tell(index: int, claims: Sequence[Help]) -> None:
        said = "; ".join(f"{one.series.mechanism} e-value {one.e_value:.3g} of {one.pairs}" for one in claims)
        out.print(f"pair {index + 1}: {said}", highlight=False, markup=False, soft_wrap=True)

    lab = confirming.laboratory(session.lab, session.folder)
    try:
        with stopping(lab):
            confirming.confirm(session.folder, session.spec, lab, chosen, pairs, session.recipe.claim.most, tell)
    except LimitReached as reached:
        said = str(reached).replace("bilevel resume RUN", f"bilevel confirm {folder} --mechanism NAME")
        out.print(f"Ended early: {said}", highlight=False, markup=False, soft_wrap=True)
    except Stopped:
        out.print("Stopped. What was finished is stored; the same command goes on with it.")
        raise
    finally:
        lab.save_seconds()
        lab.store.close()  # type: ignore[attr-defined]


def _announce(out: Console, session: RunSession, chosen: Sequence[confirming.Entry], pairs: int) -> None:
    """What it will take at most."""
    inner = leaf(session.spec)
    arms = {branch.id for entry in chosen for branch, _ in confirming.loops_of(inner, entry, 0).values()}
    trials = chosen[0].series.trials
    names = ", ".join(entry.series.mechanism for entry in chosen)
    out.print(
        f"{names} on {inner.task.name}, researcher {inner.researcher.name}: at most {pairs} pairs x {len(arms)} arms x "
        f"{trials} trials = {pairs * len(arms) * trials} trials, and {_beside(inner, chosen, len(arms), pairs)} "
        "measurements of baselines and bests; arms share what they have in common",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def _beside(inner: LoopSpec, chosen: Sequence[confirming.Entry], arms: int, pairs: int) -> int:
    return pairs * arms * (inner.calibration + chosen[0].series.fresh)
