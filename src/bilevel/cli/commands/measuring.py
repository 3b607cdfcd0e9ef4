"""The command that measures a task before it is searched: `noise`."""

from pathlib import Path

from bilevel.cli.program import Json, app


@app.command
def noise(
    task: str,
    *,
    rung: str | None = None,
    seeds: int = 10,
    repeats: int = 3,
    effect: float | None = None,
    seed: int = 0,
    model: tuple[str, ...] = (),
    folder: Path | None = None,
    show: bool = False,
    json: Json = False,
) -> None:
    """Measure how much the score of a task's baseline moves by chance, and store it for later runs of the task.

    Parameters
    ----------
    task
        The task, as for `bilevel run`.
    rung
        The size of measurement (the task's full one if not given).
    seeds
        On how many different seeds the baseline is measured.
    repeats
        How often it is measured on the first of them, that one included.
    effect
        Say how many seeds it takes to see a gain of this size too.
    seed
        From which the seeds are drawn; they are never those of a run.
    model
        A model for a task that has a judge: judge=PROVIDER:MODEL.
    folder
        Where to store the estimate instead of the user's data folder; runs then do not find it.
    show
        Measure nothing; print the stored estimate that fits, and what runs learnt since.
    """
    from bilevel.cli.noises import run_noise, show_noise

    if show:
        show_noise(task, rung, seed, folder, json)
        return
    run_noise(task, rung, seeds, repeats, effect, seed, model, folder, json)
