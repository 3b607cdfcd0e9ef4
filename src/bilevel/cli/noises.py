"""`noise`: the baseline against itself, and what follows for a search."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bilevel import calibration, machine, refining
from bilevel.budget import Limits
from bilevel.calibration import Estimate, interval, seeds_needed
from bilevel.cli.ladders import number
from bilevel.cli.printing import console, jsonable, print_json
from bilevel.errors import InputError
from bilevel.lab import Lab
from bilevel.levels import leaf
from bilevel.models import check_prices, connected
from bilevel.noise import UNKNOWN, Noise
from bilevel.overriding import override
from bilevel.recipe import find
from bilevel.run import stopping
from bilevel.wiring import build

SIZES = (0.5, 1.0, 2.0, 3.0)  # effects in sd for which the number of seeds is told


def run_noise(
    task: str,
    rung: str | None,
    seeds: int,
    repeats: int,
    effect: float | None,
    seed: int,
    models: Sequence[str],
    folder: Path | None,
    as_json: bool,
) -> None:
    """Measure, store, print."""
    if seeds < 2 or repeats < 1:
        raise InputError(f"--seeds {seeds}, --repeats {repeats}: at least 2 seeds and 1 repeat are needed")
    if effect is not None and not 0 < effect < math.inf:
        raise InputError(f"--effect {effect!r}: an effect must be a number above 0")
    recipe = override(find("random"), task=task, rung=rung, seed=seed)
    recipe = recipe.model_copy(update={"models": recipe.models.model_copy(update=_judge(models))})
    spec = build(recipe)
    check_prices(recipe, Limits())
    answering, redact = connected(recipe, spec)
    lab = Lab(models=answering, redact=redact)
    with stopping(lab):
        found = calibration.measure(spec, lab, seeds, repeats)
    path = calibration.store(found, folder) if found.between.degrees else None
    if as_json:
        print_json(_plain(found, effect, path))
    else:
        _print(console(), found, effect, path)


def show_noise(task: str, rung: str | None, seed: int, folder: Path | None, as_json: bool) -> None:
    """Print what is stored and fits: the estimate, what runs learnt since, and both together."""
    spec = build(override(find("random"), task=task, rung=rung, seed=seed))
    there, left = calibration.last_fitting(spec, folder)
    if there is None:
        why = f"only one made {left}" if left else "none"
        raise InputError(
            f"of the noise of task {leaf(spec).task.name!r}, rung {leaf(spec).top!r}, there is {why}; "
            f"`bilevel noise {task}` measures it"
        )
    noise, runs = refining.refined(there, spec, folder)
    if as_json:
        both = {"sd": noise.sd, "interval": interval(noise), "n": noise.n, "degrees": noise.degrees,
                "paired_sd": noise.paired_sd, "paired_degrees": noise.paired_degrees}  # fmt: skip
        print_json({"estimate": jsonable(there), "runs": jsonable(runs), "together": both, "keep_margin": noise.margin})
        return
    out = console()
    lines = [
        f"{there.task} · rung {there.rung} · {there.objective}",
        f"  `bilevel noise` ({there.date})  {refining.in_words(there.between)}",
        *(f"  run {one.run} ({one.date})  {refining.in_words(one.repeats.with_known(UNKNOWN))}" for one in runs),
        f"  together  {refining.in_words(noise)}",
        f"  keep margin  {noise.margin:.3g}",
        f"for harness {there.harness[:12]} on machine {machine.fingerprint(there.machine)}",
    ]
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _judge(models: Sequence[str]) -> dict[str, str]:
    wrong = next((text for text in models if not text.startswith("judge=")), None)
    if wrong is not None:
        raise InputError(f"--model {wrong!r}: only a judge is asked here; write judge=PROVIDER:MODEL")
    return {"judge": models[-1].partition("=")[2]} if models else {}


def _plain(found: Estimate, effect: float | None, path: Path | None) -> dict[str, object]:
    noise = found.between
    return {
        **jsonable(found),
        "between_seeds": {"sd": noise.sd, "interval": interval(noise), "n": noise.n},
        "same_seed": {"sd": found.again.sd, "interval": interval(found.again), "n": found.again.n},
        "deterministic": found.deterministic,
        "repeatable": found.repeatable,
        "keep_margin": noise.margin if noise.degrees else None,
        "seeds_needed": {f"{size:.6g}": seeds_needed(size, noise.sd) for size in _sizes(noise, effect)},
        "stored": None if path is None else str(path),
    }


def _print(out: Console, found: Estimate, effect: float | None, path: Path | None) -> None:
    def say(text: str) -> None:
        out.print(text, highlight=False, markup=False, soft_wrap=True)

    noise, unit = found.between, f" {found.unit}" if found.unit else ""
    mean = sum(found.seeds) / len(found.seeds) if found.seeds else None
    say(f"{found.task} · rung {found.rung} · {found.objective} of the baseline {number(mean)}{unit}")
    say(f"  between seeds  {_sd(noise, unit)}")
    say(f"  at one seed    {_sd(found.again, unit)}")
    say(f"  {_kind(found)}")
    if found.failed:
        say(f"  {found.failed} measurements failed: {'; '.join(found.reasons)}")
    if path is None:
        say("  too few scores for an estimate; nothing is stored")
        return
    chance = ": measured once, a candidate that is no better exceeds it in about 1 of 20 cases" if noise.margin else ""
    say(f"  keep margin    {noise.margin:.3g}{unit}{chance}")
    if noise.sd:
        needed = ", ".join(f"{seeds_needed(size, noise.sd)} for {size:.3g}" for size in _sizes(noise, effect))
        say(f"  seeds per candidate to see a gain (one-sided 5 %, power 80 %): {needed}")
    say(f"stored in {path}")


def _sizes(noise: Noise, effect: float | None) -> list[float]:
    if not noise.sd:
        return []
    return [size * noise.sd for size in SIZES] + ([effect] if effect is not None else [])


def _sd(noise: Noise, unit: str) -> str:
    bounds = interval(noise)
    if bounds is None:
        return f"not known ({noise.n} scores)"
    return f"sd {noise.sd:.3g}{unit} [{bounds[0]:.3g}, {bounds[1]:.3g}] (95 %), {noise.n} scores"


def _kind(found: Estimate) -> str:
    if found.deterministic:
        return "deterministic: no seed and no repeat changes the score; one measurement says all"
    same = {True: "the same seed gives the same score, to the last bit", None: "not measured twice on one seed"}
    return f"not deterministic; {same.get(found.repeatable, 'the same seed gives other scores')}"
