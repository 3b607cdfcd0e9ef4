"""What the outer levels may see of an inner search: numbers, names of parameters and files, typed changes, outcomes.

This is the one way from an inner trace into the prompts of levels 1.5 and 2. Never passed on: the texts of candidate
files, what the inner researcher wrote (its reasons, its lessons), what runs printed, what it was advised, and the
reasons of refusals and failures, which may quote any of these.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from bilevel.carrying import STEP, carrier_of
from bilevel.researchers.coded import told_above
from bilevel.researchers.diagnosis import diagnose
from bilevel.researchers.history import counted, rule_of
from bilevel.researchers.prompt import Section, fence
from bilevel.rules import in_words
from bilevel.space import Bool, Choice, Domain, Float, Int, Space
from bilevel.steps import STEPS, steps_in
from bilevel.trace import Trace
from bilevel.trial import Count, Status, Trial
from bilevel.view import Below

MOST_TRIALS = 60  # lines of single trials; the statistics cover all of them
MOST_FAULTS = 6
FEW = 10  # trials whose statistics mean little


def standing(below: Below, left: int | None = None) -> Section:
    """Where the search stands: objective, noise, baseline, best, trials, and the outer cycles that are `left`."""
    objective, trace = below.objective, below.trace
    unit = f" ({objective.unit})" if objective.unit else ""
    lines = [f"- objective: {'minimise' if objective.minimize else 'maximise'} {objective.name}{unit}"]
    if trace.noise.sd:
        lines.append(
            f"- noise: sd {trace.noise.sd:.2g} between seeds; {_what_counts(trace)} rules, whatever the task's text "
            "says. Gains are means over the seeds that a trial and its parent both have, so they may differ from the "
            "differences of the scores"
        )
    best, baseline = trace.incumbent, trace.baseline
    if baseline is not None and best is not None:
        lines.append(
            f"- {counted(len(trace) - 1, 'trial')} after the baseline ({_score(baseline)}); best {_score(best)} "
            f"(trial {best.number}), {counted(trace.since_improvement(), 'trial')} since"
        )
    reads = "reads" if below.reads_advice else "does not read"
    cycles = f"; cycles left, this one included: {left}" if left is not None else ""
    lines.append(f"- the inner researcher {reads} advice; one cycle of yours is {below.trials} of its trials{cycles}")
    return Section("Where the search stands", "\n".join(lines), priority=90)


def bottlenecks(below: Below) -> Section:
    """Statistics of the last trials, and what is conspicuous in them."""
    trace, found = below.trace, diagnose(below.trace, below.space)
    trials = [trial for trial in trace if trial.number > 0]
    if not trials:
        return Section("Statistics", "- no trial after the baseline yet", priority=80)
    kept = sum(trial.decision.keep for trial in trials)
    outcomes = Counter(trial.status.value for trial in trials)
    lead, apart = _lead(trace)
    ahead = lead > trace.noise.margin
    ailments = [sentence for word, sentence in found.ailments() if ahead or word != "astray"]
    lines = [
        f"- stands out: {'; '.join(ailments) or 'nothing'}",
        f"- kept {kept} of {len(trials)}; outcomes: {', '.join(f'{n} {word}' for word, n in outcomes.most_common())}",
        f"- in the last {found.trials}: {found.repetition:.0%} of the proposals repeat an earlier one, "
        f"{found.turned_back:.2g} drafts turned back per trial{_refusals(trials)}",
        f"- concentration: {_concentration(trials, below.space)}",
        f"- the scores of these trials have an sd of {found.spread:.3g}; the median step of a number in a discarded "
        f"trial is {found.step:.2g} of its range; {found.one_sided:.0%} of the moves of numbers go in one direction",
    ]
    if len(trials) < FEW:
        lines.append(f"- these numbers are of {counted(len(trials), 'trial')} only: so few mean little")
    if found.culprits:
        lines.append(f"- in crashes only: {', '.join(f'{name} = {value!r}' for name, value in found.culprits[:6])}")
    if apart:
        where = "stands away from" if ahead else "does not stand on"
        within = "" if ahead else " (within the noise)"
        names = ", ".join(apart)
        lines.append(
            f"- the search {where} its best candidate, which leads by {lead:.4g}{within} and differs in {names}"
        )
    return Section("Statistics", "\n".join(lines), priority=80)


def parameters(below: Below, frozen: Collection[str] | None = None) -> Section:
    """A line for each parameter: its domain, its value now, how often it was changed and what came of it."""
    trace = below.trace
    now = trace.current.params if trace.current is not None else {}
    rows: list[tuple[int, str]] = []
    for name, domain in below.space.domains.items():
        touching = [trial for trial in trace if name in trial.changes]
        gains = [gain for trial in touching if (gain := gain_of(trace, trial)) is not None]
        parts = [name, domain_text(domain), f"now {now[name]!r}" if name in now else "", f"changed {len(touching)}x"]
        if touching:
            parts.append(f"kept {sum(trial.decision.keep for trial in touching)}x")
            parts.append(f"best gain {max(gains):+.4g}" if gains else "never scored")
            parts.append(f"last in trial {touching[-1].number}")
        if frozen is not None and name in frozen:
            parts.append("FROZEN")
        rows.append((len(touching), " | ".join(part for part in parts if part)))
    lines = tuple(text for _, text in sorted(rows, key=lambda row: row[0]))
    return Section("Parameters, the least changed first", "", 60, lines)


def domains(below: Below) -> Section:
    """The names and domains of the parameters, with their values now."""
    now = below.trace.current.params if below.trace.current is not None else {}
    lines = tuple(
        f"- {name}: {domain_text(domain)}" + (f"; now {now[name]!r}" if name in now else "")
        for name, domain in below.space.domains.items()
    )
    return Section("The parameters of this search, and no others", "", 60, lines)


def trials(below: Below, most: int = MOST_TRIALS) -> Section:
    """The last trials, a line each."""
    trace = below.trace
    names = frozenset(trace.ledger())
    lines = tuple(trial_line(trace, trial, names) for trial in trace[-most:])
    head = "trial <- its parent's trial: typed changes | outcome, gain over the parent | decision"
    return Section("Trials", head if lines else "", 50, lines)


def trial_line(trace: Trace, trial: Trial, mechanisms: Collection[str] = ()) -> str:
    """One trial: number, parent, typed changes, files with lines added and removed, outcome, decision."""
    if trial.number == 0:
        return f"0 | the baseline: {_score(trial)}"
    parent = trace.of(trial.parent.id)
    changes = [f"{name} {change.old!r} -> {change.new!r}" for name, change in trial.changes.items()]
    changes += [_file_change(name, trial) for name in trial.candidate.files_changed_from(trial.parent)]
    gain = gain_of(trace, trial)
    outcome = _score(trial) + (f" ({gain:+.4g})" if gain is not None else "")
    origin = "" if parent is None else f" <- {parent.number}"
    by = f", proposed by rule {trial.proposal.author}" if rule_of(trial) in mechanisms else ""
    back = turned_back_words([trial], mechanisms)
    return (
        f"{trial.number}{origin}{by}: {', '.join(changes) or 'nothing changed'} | {outcome} | "
        f"{'kept' if trial.decision.keep else 'discarded'}{f' | turned back before: {back}' if back else ''}"
    )


def ledger_line(name: str, hooks: Mapping[str, Count]) -> str:
    """What a mechanism did, in counts per hook."""
    counts = [
        f"{hook}: {c.calls} calls, {c.touched} touched, {c.decisive} decisive"
        + (f", {c.faults} faults" * bool(c.faults))
        for hook, c in hooks.items()
    ]
    return f"- {name}: {'; '.join(counts) or 'never called'}"


def ledger(trace: Trace, names: Iterable[str], title: str = "Mechanisms in force") -> Section:
    """The counts of the named mechanisms over a trace."""
    total = trace.ledger()
    lines = [ledger_line(name, total.get(name, {})) for name in names]
    head = "touched: its answer differed from what it was given. decisive: without it the outcome would be another."
    return Section(title, "\n".join([head, *lines]) if lines else "none", priority=70)


def steps(trace: Trace) -> Section:
    """What each step of a researcher that takes steps did to the text, in counts; nothing for others. Only its own
    steps and those that texts inserted are named: notes hold whatever a guest wrote there."""
    names = {
        carrier: [name for name in trace.ledger() if carrier_of(name) == carrier] for carrier in ("workflow", STEP)
    }
    known = {*STEPS, *(name.partition(":")[2] for name in names["workflow"]), *names[STEP]}
    lines = [
        f"- {step}: asked {one.asked}, sent back {one.sent_back}, ended the pass {one.failed}; said {one.said}, of "
        f"which {one.reached} reached the text, in {counted(one.decisive, 'trial')}{'; INERT' * one.inert}"
        for step, one in steps_in(trace).items()
        if step in known
    ]
    head = "reached the text: a changed paragraph goes back to it; of an assessment: edits that it took out."
    return Section("Steps of the researcher's workflow", "\n".join([head, *lines]) if lines else "", priority=72)


def faults(trace: Trace, names: Collection[str]) -> Section:
    """The newest different faults of the named mechanisms, as data; those of researchers are left out."""
    newest: dict[tuple[str, str, str], int] = {}
    for trial in trace.newest():
        for fault in trial.faults:
            if fault.guest in names:
                newest.setdefault((fault.guest, fault.hook, fault.message), trial.number)
    lines = [
        f"trial {number}, {guest}, {hook}: {(told_above(message) if carrier_of(guest) == STEP else message)[:300]}"
        for (guest, hook, message), number in list(newest.items())[:MOST_FAULTS]
    ]
    text = fence("\n".join(lines), "messages of mechanisms that failed") if lines else ""
    return Section("Faults of mechanisms", text, priority=65)


def _what_counts(trace: Trace) -> str:
    if trace.rule is None or trace.rule.name == "margin":
        return f"a gain of more than {trace.noise.margin:.3g} counts: this figure"
    return f"a trial is kept if {in_words(trace.rule, trace.noise.margin)}: this rule"


def gain_of(trace: Trace, trial: Trial) -> float | None:
    """A trial's gain over its parent, as the loop reckons it; None for the baseline and without two scores."""
    return trace.gain_of(trial) if trial.number else None


def _lead(trace: Trace) -> tuple[float, tuple[str, ...]]:
    """By how much the best is better than where the search stands, and the parameters and files that differ."""
    best, here = trace.incumbent, trace.current
    stands = None if here is None else trace.of(here.id)
    if best is None or here is None or best.candidate.id == here.id:
        return 0.0, ()
    lead = 0.0
    if best.score is not None and stands is not None and stands.score is not None and not trace.objective.relative:
        lead = trace.objective.gain(stands.score, best.score)
    return lead, (*best.candidate.changes_from(here), *best.candidate.files_changed_from(here))


def domain_text(domain: Domain) -> str:
    """A domain in a few words, with the bounds or options."""
    match domain:
        case Float(low, high, log):
            text = f"Float {low:g} to {high:g}{', log' if log else ''}"
        case Int(low, high, log, power_of_two):
            text = f"Int {low} to {high}{', powers of two' if power_of_two else ', log' if log else ''}"
        case Choice(options):
            text = f"Choice of {', '.join(map(repr, options))}"
        case Bool():
            text = "Bool"
        case _:
            text = "derived, cannot be set"
    return f"{text}, locked" if domain.locked and not text.startswith("derived") else text


def turned_back_words(trials: Iterable[Trial], mechanisms: Collection[str] = ()) -> str:
    """Why drafts were turned back, by kind and number; the reasons' texts stay where they are."""
    kinds: Counter[str] = Counter()
    for trial in trials:
        for back in trial.turned_back:
            by = back.reason.partition(":")[0]
            if back.reason.startswith(("already measured", "already being measured")):
                kinds["measured before"] += 1
            elif by in mechanisms or by in trial.ledger:
                kinds[f"refused by {by}"] += 1
            else:
                kinds["against the rules of the space or the task"] += 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _refusals(trials: list[Trial]) -> str:
    words = turned_back_words(trials)
    return f" (of all: {words})" if words else ""


def _concentration(trials: list[Trial], space: Space) -> str:
    counts = Counter(name for trial in trials for name in trial.changes)
    if not counts:
        return "no parameter was changed"
    top = [f"{name} in {count / len(trials):.0%}" for name, count in counts.most_common(3)]
    never = [name for name in space.unlocked if name not in counts]
    return f"{', '.join(top)} of the trials; {len(never)} of {len(space.unlocked)} parameters never changed" + (
        f" ({', '.join(never[:12])})" if never else ""
    )


def _score(trial: Trial) -> str:
    if trial.score is not None:
        return f"{trial.score:.6g}"
    return "nothing ran (refused)" if trial.status is Status.REFUSED else trial.status.value


def _file_change(name: str, trial: Trial) -> str:
    old, new = (candidate.files.get(name, "").splitlines() for candidate in (trial.parent, trial.candidate))
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    return f"{name} +{sum(line[0] == '+' for line in lines)} -{sum(line[0] == '-' for line in lines)} lines"
