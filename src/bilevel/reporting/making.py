"""What it cost, where it was made, and how to make it again."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from bilevel.cli.helping import cost_text
from bilevel.cli.steering import acts_of, became
from bilevel.dashboard.frame import level_title
from bilevel.levels import leaf
from bilevel.models import names_of
from bilevel.report import LevelCost
from bilevel.reporting.document import Block, Facts, Grid, Items, Listing, Section, Words
from bilevel.reporting.seen import Seen
from bilevel.reporting.words import NOTHING, count, money

SHOWN = ("python", "system", "machine", "processor", "accelerator", "cores", "fingerprint")


def in_short(seen: Seen) -> Iterator[str]:
    """The cost in a sentence."""
    summary, claim = seen.summary, seen.summary.claim
    calls = sum(cost.calls for cost in summary.costs)
    parts = [f"{count(summary.charged, 'measurement')} in the search"]
    if claim is not None and claim.cost.evaluations:
        parts.append(f"{claim.cost.evaluations} more on fresh seeds")
    if calls:
        tokens, unknown = sum(cost.tokens for cost in summary.costs), any(cost.unpriced for cost in summary.costs)
        dollars = money(None if unknown else sum(cost.money for cost in summary.costs))
        parts.append(f"{count(calls, 'call')} to language models, {tokens:,} tokens, {dollars}")
    elapsed = seen.run.opened.folder.meta("elapsed")
    parts += [f"{float(elapsed):.0f} s of wall time"] if elapsed is not None else []
    yield f"Cost: {'; '.join(parts)}."


def cost(seen: Seen) -> Section:
    """Level by level, with the claim stage and the tests of mechanisms beside the search."""
    summary, claim = seen.summary, seen.summary.claim
    rows = [_level(one, one.level == summary.costs[0].level) for one in summary.costs]
    header = ("level", "trials", "measurements", "seconds", "CPU seconds", "calls", "tokens", "US dollars")
    blocks: list[Block] = [Grid("The search, all arms", header, tuple(rows))]
    lines = []
    if len(summary.costs) > 1:
        lines.append("outer levels measure nothing of their own: a trial of theirs is trials of level 1")
    if summary.charged != summary.evaluations:
        lines.append(
            f"of the {summary.charged} measurements charged, {summary.evaluations} were distinct: the arms of a fork "
            "share some"
        )
    if claim is not None and claim.cost.evaluations:
        more = "" if claim.complete else ", not finished"
        lines.append(
            f"the claims on fresh seeds: {claim.cost.evaluations} measurements, {claim.cost.seconds:.1f} s{more}"
        )
    if summary.confirmed is not None:
        lines.append(f"whole loops that tested mechanisms: {cost_text(summary.confirmed)}")
    if summary.asked_aside.calls:
        aside = summary.asked_aside
        lines.append(
            f"of the calls, asked on the side to see whether advice matters: {aside.calls}, {aside.tokens:,} tokens"
        )
    limits = {name: value for name, value in seen.run.recipe.limits.model_dump().items() if value is not None}
    lines.append(f"limits of the recipe: {', '.join(f'{name} {value:g}' for name, value in limits.items()) or 'none'}")
    return Section("What it cost", "cost", (*blocks, Items(tuple(lines))))


def _level(one: LevelCost, innermost: bool) -> tuple[str, ...]:
    trials = "" if one.level == "judge" else str(one.trials)
    measured = (str(one.evaluations), f"{one.seconds:.1f}", f"{one.cpu_seconds:.1f}") if innermost else ("", "", "")
    price = "unknown" if one.unpriced else f"{one.money:.4f}"
    calls = (str(one.calls), f"{one.tokens:,}", price) if one.calls else (NOTHING, NOTHING, NOTHING)
    return level_title(one.level), trials, *measured, *calls


def environment(seen: Seen) -> Section:
    """The machine as it was recorded, what measured, and what stood between programs."""
    folder = seen.run.opened.folder
    made = folder.meta("environment") or {}
    pairs = {name: str(made[name]) for name in SHOWN if made.get(name) not in (None, "")}
    pairs["packages"] = ", ".join(f"{name} {version}" for name, version in dict(made.get("packages") or {}).items())
    models = names_of(seen.run.recipe)
    pairs |= {
        "bilevel": str(folder.config.get("bilevel", "")),
        "what measures the task (hash)": str(folder.meta("harness") or "not recorded")
        + (", by now another" if seen.changed_since else ""),
        "isolation in force": "; ".join(
            f"{walls} ({count(n, 'trial')})" for walls, n in seen.summary.isolation.items()
        ),
        "models": ", ".join(f"{level_title(level)}: {name}" for level, name in models.items()) or "none",
        "workers": str(seen.run.recipe.workers),
    }
    blocks: list[Block] = [Facts(pairs)]
    for other in folder.meta("machines") or []:
        blocks.append(
            Words(f"Gone on with on another machine after {other['after']} trials: {'; '.join(other['differs'])}.")
        )
    return Section("Environment", "environment", tuple(blocks))


def again(seen: Seen) -> Section:
    """The commands that check this report, and those that search anew, with the recipe as it was."""
    config = seen.run.opened.folder.config
    task = leaf(seen.run.spec).task
    commands = (
        "bilevel verify RUN                        # each number of this report, computed again from the records\n"
        "bilevel replay RUN                        # each decision, made again; nothing is measured, no model asked\n"
        "bilevel run recipe.toml --folder again    # the same search anew; recipe.toml is below\n"
        "bilevel diff RUN                          # what the best candidate changed\n"
    )
    kinds = {"sources": "sources of mechanisms", "prompts": "prompts"}
    texts = [f"{len(config[name])} {what}" for name, what in kinds.items() if config.get(name)]
    notes = [
        f"All random numbers come from seed {seen.run.spec.seed}: where the task measures alike and no language model "
        "is asked, the search is the same again.",
        f"The task is {task.name!r}; RUN is the run folder, in which this report lies.",
    ]
    notes += [f"When this was written, {seen.run.gone}"] if seen.run.gone else []
    notes += [f"The run folder holds {' and '.join(texts)} as they were."] if texts else []
    known = dict(config.get("noise") or {}).get("sentence")
    notes += [_steered(seen)] if acts_of(seen.run.store) else []
    notes += [f"What was known of the noise at the start: {known}"] if known else []
    return Section(
        "How to reproduce it", "reproduce",
        (Listing("", commands, "sh"), Items(tuple(notes)), Listing("recipe.toml", toml(config["recipe"]), "toml")),
    )  # fmt: skip


def _steered(seen: Seen) -> str:
    """What persons told the run, and what became of it: a run that nobody tells it is another one."""
    said = [
        f"{_utc(act['at'])} {act['author'] or 'somebody'}: {act['said']} ({became(act)})"
        for act in acts_of(seen.run.store)
    ]
    return f"Persons steered this run, which the commands above do not repeat: {'; '.join(said)}."


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def toml(data: Mapping[str, Any]) -> str:
    """A recipe as TOML: the keys that say something, tables after values. What is None has no word in TOML."""
    return "\n".join(_table(data, "")).strip("\n") + "\n"


def _table(data: Mapping[str, Any], name: str) -> Iterator[str]:
    inside = {key: value for key, value in data.items() if value is not None}
    for key, value in inside.items():
        if not _is_table(value):
            yield f"{key} = {_value(value)}"
    for key, value in inside.items():
        place = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            yield from ("", f"[{place}]", *_table(value, place))
        elif _is_table(value):
            for part in value:
                yield from ("", f"[[{place}]]", *_table(part, place))


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        bool(value) and isinstance(value, list | tuple) and isinstance(value[0], Mapping)
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)


def _text(value: str) -> str:
    """A basic string of TOML; other characters than the printable ones as escapes."""
    short = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(short.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in value) + '"'
