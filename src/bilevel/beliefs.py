"""What the skills in force claim of the task, and how each claim stands by the record of the search."""

from bilevel.carrying import carrier_of
from bilevel.lab import Records, Traces
from bilevel.levels import levels_of, standing
from bilevel.loop import LoopSpec
from bilevel.researchers.skills import read_skill
from bilevel.space import Space
from bilevel.steered import key_of


def beliefs(records: Records, spec: LoopSpec) -> dict[str, tuple[str, ...]]:
    """The claims of each skill that is in force at the end of what is recorded, a sentence each; those without claims
    are left out."""
    traces, branch = Traces(records), "root" if records.branches() else None
    inmost, branch = standing(traces, spec, branch, len(levels_of(spec)) - 1)
    if branch is None:
        return {}
    space, trace = Space(inmost.task.space.domains), traces.trace(branch, inmost.task.objective)
    left = [text for text in inmost.mechanisms if key_of(text) not in trace.steering.retired]
    skills = [text for text in left if carrier_of(text.name) == "skill"]
    found = {text.name: read_skill(text, space).standings(trace) for text in skills}
    return {name: tuple(one.sentence for one in told) for name, told in found.items() if told}
