"""`show --calls`, `show --call` and `replay`: what models were asked, what they said, and that it decides the run."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from bilevel.call import Call
from bilevel.calls import CallSummary
from bilevel.cli.printing import LEVEL_TITLES, console, jsonable, print_json, visible
from bilevel.cli.progress import change_text, score_text
from bilevel.errors import InputError
from bilevel.replay import replay
from bilevel.store.folder import RunFolder
from bilevel.store.reader import Reader

WIDE = 200  # columns of the list of calls where there is no terminal


def print_calls(path: Path, number: int | None, as_json: bool) -> None:
    """All calls of a run in a table, or one in full."""
    folder = RunFolder.read(path)
    try:
        if number is not None:
            last = len(folder.store.calls())
            if not 1 <= number <= last:
                has = f"the calls 1 to {last}" if last else "asked no language model"
                raise InputError(f"there is no call {number}; this run {'has ' if last else ''}{has}")
            call = folder.store.call(number)
            _print_call(call, as_json)
            if not as_json:
                _print_outcome(folder.store, call)
        elif as_json:
            print_json([jsonable(call) for call in folder.store.calls()])
        else:
            _print_table(folder.store.calls())
    finally:
        folder.close()


def print_replay(path: Path, as_json: bool) -> None:
    """Rebuild a run and say what was rebuilt."""
    done = replay(path)
    if as_json:
        print_json(jsonable(done))
        return
    print(
        f"replayed {done.trials} trials on {done.branches} branches from {done.calls} recorded calls, without a model: "
        f"each is the recorded one, byte for byte (the run is {done.state})"
    )
    if done.rounds:
        print(f"the {done.rounds} rounds of the claim stage are those that follow from the stored measurements")
    if done.mishaps:
        print(
            f"{done.mishaps} faults of mechanisms are taken from the record: a process died, or took too long or too "
            "much memory, which depended on the machine"
        )


def _print_table(calls: Sequence[CallSummary]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for name in ("call", "level", "branch", "trial", "for", "answered by", "end"):
        table.add_column(name, overflow="fold")
    for name in ("tokens in", "out", "US dollars", "seconds"):
        table.add_column(name, justify="right")
    for call in calls:
        cells = (str(call.number), call.level, call.branch, str(call.trial), call.purpose, call.model, call.finish)
        money = "unknown" if call.money is None else f"{call.money:.4f}"
        table.add_row(*map(escape, cells), str(call.tokens_in), str(call.tokens_out), money, f"{call.seconds:.1f}")
    console(width=WIDE).print(table if calls else "this run asked no language model")


def _print_outcome(store: Reader, call: Call) -> None:
    """What became of the trial that it was asked for."""
    levels = {branch.id: branch.level for branch in store.branches()}
    if levels.get(call.branch) != call.level:
        return
    trial = next((one for one in store.trials(call.branch, after=call.trial - 1) if one.number == call.trial), None)
    out = console()
    out.rule("what came of it")
    if trial is None:
        said = f"trial {call.trial} is not finished"
    else:
        verdict = "keep" if trial.decision.keep else "discard"
        said = f"trial {trial.number}: {change_text(trial)} · {score_text(trial)} · {verdict}: {trial.decision.reason}"
    out.print(said, highlight=False, markup=False, soft_wrap=True)


def _print_call(call: Call, as_json: bool) -> None:
    if as_json:
        print_json(jsonable(call))
        return
    out, reply = console(), call.reply
    out.print(
        f"call {call.number}: {call.purpose}, for trial {call.trial} of branch {call.branch!r} "
        f"({LEVEL_TITLES.get(call.level, call.level)})\nanswered by {reply.model} after {call.seconds:.1f} s: "
        f"{reply.tokens_in} tokens in, {reply.tokens_out} out, "
        f"{'price unknown' if reply.money is None else f'{reply.money:.4f} US dollars'}; end: {reply.finish.value}; "
        f"seed {call.key.seed}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    for message in call.request.messages:
        out.rule(message.role)
        out.print(visible(message.text), highlight=False, markup=False, soft_wrap=True)
    if reply.reasoning:
        out.rule("its reasoning")
        out.print(visible(reply.reasoning), highlight=False, markup=False, soft_wrap=True)
    out.rule("its reply")
    out.print(visible(reply.text), highlight=False, markup=False, soft_wrap=True)
