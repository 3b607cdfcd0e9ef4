"""How one proposal comes about: select, constrain, advise, ask the researcher, let the mechanisms propose, check.

The same function runs once in earnest and again with one hook left out, to see whether the outcome would have been
another. A researcher that costs something is asked once more in some trials, to see whether advice matters to it, and
each of the texts that it works with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from bilevel.carrying import FAULTS, Carrying
from bilevel.errors import BilevelError, GuestError, UnusableReply
from bilevel.fold import EVERYTHING, Fold, Record, Without, check_proposals
from bilevel.guards import ALL, Guards
from bilevel.researcher import Researcher
from bilevel.shadow import AGAIN, WITHOUT, Aside, compared
from bilevel.space import Candidate, Space
from bilevel.task import Rules
from bilevel.trial import NO_ANSWER, Count, Fault, Proposal, Shadow, TurnedBack
from bilevel.view import Briefing, View

ToldBy = dict[object, tuple[tuple[Proposal, ...], Fault | None]]  # by parent, space, briefing and what is left out


@dataclass(frozen=True)
class Asked:
    """The first question to the researcher for a trial, and the drafts that it gave."""

    view: View
    parent: Candidate
    briefing: Briefing
    drafts: tuple[Proposal, ...]


@dataclass(frozen=True)
class Draft:
    """The outcome of an ask: what will run, from which parent; or nothing, and why."""

    parent: Candidate
    proposal: Proposal | None
    asked: Asked
    turned_back: tuple[TurnedBack, ...] = ()
    overruled: bool = False
    last: Proposal | None = None  # the last proposal that was turned back
    shadows: tuple[Shadow, ...] = ()

    @property
    def projection(self) -> tuple[str, int] | None:
        """What counts as the decision: the candidate that runs, and how often it is repeated."""
        return None if self.proposal is None else (self.proposal.candidate.id, self.proposal.repeats)


@dataclass
class Drafting:
    """One ask of one loop: the view is pinned, and the researcher's answers are kept so that asking twice is free.

    `shadow`: in which share of the trials a researcher that costs something is asked again without each mechanism's
    advice; without that of the mechanisms that are `watched` it is asked in every trial. `guards`: what the host does.
    `answers`: what the researcher has answered to the very same view and researcher.
    """

    task: Rules
    researcher: Researcher
    fold: Fold
    view: View
    start: Candidate
    in_flight: Sequence[Candidate] = ()
    shadow: float = 0.0
    watched: frozenset[str] = frozenset()
    guards: Guards = ALL
    answers: ToldBy = field(default_factory=dict)
    _earnest: dict[int, tuple[Proposal, ...]] = field(default_factory=dict)
    _ended: set[Fault] = field(default_factory=set)  # those of passes that a gate ended: an answer, though none to run

    def draft(self, record: Record) -> Draft:
        """The draft with all mechanisms, their effect counted in `record`."""
        final = self._run(record, EVERYTHING)
        self._count_texts(record, final.asked)
        self.fold.count_decisive(
            "select",
            record,
            final.parent.id,
            lambda w: self.fold.select(self.view, self.start, Record(), w).id,
        )
        for hook in ("constrain", "propose"):
            self.fold.count_decisive(hook, record, final.projection, lambda w: self._run(Record(), w).projection)
        if not self.researcher.reads_advice:
            return final
        if self.researcher.free:
            self.fold.count_decisive("advise", record, final.projection, lambda w: self._run(Record(), w).projection)
            return final
        return replace(final, shadows=tuple(self._shadows(record, final)))

    def _count_texts(self, record: Record, asked: Asked) -> None:
        """A text works through what the researcher is told: its ledger is that of advice."""
        if isinstance(self.researcher, Carrying) and self._texts:
            used = self.researcher.used(self._known(asked.view), asked.parent, asked.briefing)
            for name in self._texts:
                record.add(name, "advise", Count(calls=1, touched=int(name in used)))

    def _known(self, view: View) -> View:
        """The view as the researcher has it."""
        return view if self.guards.history else replace(view, trace=view.trace.upto(0))

    @property
    def _texts(self) -> tuple[str, ...]:
        return tuple(text.name for text in self.researcher.texts) if isinstance(self.researcher, Carrying) else ()

    def _shadows(self, record: Record, final: Draft) -> Iterator[Shadow]:
        """What the researcher says without each mechanism's advice and, if it was asked, once again to all of it."""
        every = self.view.rng("shadow").random() < self.shadow
        advised = [name for name, hooks in record.counts.items() if hooks.get("advise", Count()).touched]
        first, asked = final.asked, False
        for name in advised:
            if not every and name not in self.watched:
                continue
            aside = Record()
            other = self._run(aside, Without(name, "advise"), Aside(name))
            if other.asked.briefing == first.briefing and name not in self._texts:
                continue  # another mechanism undid it: the text was the same, and nothing was asked
            shadow = self._compared(name, WITHOUT, first, other.asked.drafts, [*record.faults, *aside.faults])
            if shadow.how != NO_ANSWER and other.projection != final.projection:
                record.add(name, "advise", Count(decisive=1))
            asked = True
            yield shadow
        if asked:
            drafts, fault = self._answer(Aside().of(first.view), first.parent, first.briefing)
            yield self._compared("", AGAIN, first, drafts, [*record.faults, *([fault] if fault else [])])

    def _compared(
        self, name: str, kind: str, first: Asked, drafts: tuple[Proposal, ...], faults: Sequence[Fault]
    ) -> Shadow:
        failed = {fault for fault in faults if (fault.guest, fault.hook) == (self._guest, "propose")} - self._ended
        if failed:
            return Shadow(name, kind, False, NO_ANSWER)
        return compared(name, kind, self.view.space, first.parent, first.drafts, drafts)

    def _run(self, record: Record, without: Without, aside: Aside | None = None) -> Draft:
        """One draft without a hook. `aside`: the researcher may be asked, whatever it costs, and how."""
        view, fold = self.view if aside is None else aside.of(self.view), self.fold
        parent = fold.select(view, self.start, record, without)
        space = fold.constrain(view, view.space, record, without)
        plain = Briefing(history_window=view.settings.history_window, guidance=view.settings.guidance)
        briefing = fold.advise(view, plain, record, without)
        turned_back: list[TurnedBack] = []
        drafts: list[Proposal] = []
        last: Proposal | None = None
        for attempt in range(view.settings.redrafts + 1):
            asked = replace(briefing, attempt=attempt, turned_back=tuple(turned_back))
            may_cost = without is EVERYTHING or aside is not None
            answers = self._ask(replace(view, space=space), parent, asked, record, without, may_cost)
            if attempt == 0:
                first = Asked(replace(view, space=space), parent, asked, answers)

            def dropped(proposal: Proposal, reason: str) -> None:
                turned_back.append(TurnedBack(proposal.candidate.id, reason, proposal.author))

            for withdrawn in (answer for answer in answers if answer.dropped):
                dropped(withdrawn, withdrawn.dropped)
                last = withdrawn
            answers = tuple(answer for answer in answers if not answer.dropped)
            drafts += answers
            seen = replace(view, space=space, turned_back=tuple(turned_back))
            proposals = fold.propose(seen, parent, answers, record, dropped, without)
            for proposal in proposals:
                problem = self._problem(proposal, parent, space)
                if problem is None:
                    return Draft(parent, proposal, first, tuple(turned_back))
                dropped(proposal, problem)
            last = proposals[-1] if proposals else answers[-1] if answers else last
        # Every draft was turned back. The mechanisms may have gone too far: the first that the host admits runs.
        for proposal in drafts:
            if self._problem(proposal, parent, view.space) is None:
                return Draft(parent, proposal, first, tuple(turned_back), overruled=True)
        return Draft(parent, None, first, tuple(turned_back), last=last)

    def _ask(
        self, view: View, parent: Candidate, briefing: Briefing, record: Record, without: Without, may_cost: bool
    ) -> tuple[Proposal, ...]:
        """The researcher's drafts; none, and a fault, where it breaks its contract.

        A researcher that costs something is not asked for a leave-one-out, shadow asks apart: its recorded drafts of
        the same attempt stand in, so that a constraint counts where it bound one of them.
        """
        text = without.name if without.hook == "advise" and without.name in self._texts else ""
        key = (parent.id, _space_key(view.space), briefing, text)
        if key not in self.answers:
            if not may_cost and not self.researcher.free:
                return self._earnest.get(briefing.attempt, ())
            self.answers[key] = self._answer(view, parent, briefing, text)
        answers, fault = self.answers[key]
        if fault is not None and fault not in record.faults:  # asked again, it may well say the same again
            record.faults.append(fault)
        if without is EVERYTHING:
            self._earnest[briefing.attempt] = answers
            self._count_faults(record, answers)
        return answers

    def _count_faults(self, record: Record, answers: Sequence[Proposal]) -> None:
        """The faults of texts that failed while the researcher worked, as it notes them; each once in a trial."""
        found = [item for answer in answers for item in answer.notes.get(FAULTS, ()) if len(item) == 2]
        for name, reason in found if isinstance(self.researcher, Carrying) else ():
            if name in self._texts and not any(fault.guest == name for fault in record.faults):
                record.fault(str(name), "advise", str(reason))

    def _answer(
        self, view: View, parent: Candidate, briefing: Briefing, left_out: str = ""
    ) -> tuple[tuple[Proposal, ...], Fault | None]:
        """What the researcher proposes, with all its texts or all but one; or its fault."""
        researcher = self.researcher
        if left_out and isinstance(researcher, Carrying):
            researcher = researcher.carrying([text for text in researcher.texts if text.name != left_out])
        view = self._known(view)
        if not self.guards.reasons:
            briefing = replace(briefing, turned_back=())
        try:
            return check_proposals(researcher.propose(view, parent, briefing), researcher.name), None
        except BilevelError as error:
            if not isinstance(error, GuestError):
                raise  # ours, or the user's: no model, no key, asked to stop
            notes = error.notes if isinstance(error, UnusableReply) else {}
            said = f"researcher {self.researcher.name!r} failed: {error}"[:500]
            tried = (Proposal(parent, "", self.researcher.name, notes, dropped=said),) if notes else ()
            fault = Fault(self._guest, "propose", str(error)[:500])
            self._ended |= {fault} if notes else set()
            return tried, fault
        except Exception as error:
            return (), Fault(self._guest, "propose", f"{type(error).__name__}: {error}"[:500])

    @property
    def _guest(self) -> str:
        return f"researcher {self.researcher.name}"

    def _problem(self, proposal: Proposal, parent: Candidate, space: Space) -> str | None:
        candidate = proposal.candidate
        found = space.problems(candidate, parent) or self.task.problems(candidate, parent)
        if found:
            return "; ".join(found[:5])
        if self.task.remembers or proposal.repeats > 0 or not self.guards.duplicate_check:
            return None
        measured = self.view.trace.of(candidate.id)
        if measured is not None:
            outcome = f"score {measured.score:.6g}" if measured.score is not None else measured.status.value
            return f"already measured as trial {measured.number} ({outcome})"
        if any(candidate.id == other.id for other in self.in_flight):
            return "already being measured"
        return None


def _space_key(space: Space) -> object:
    return (
        tuple(space.domains.items()),
        tuple(sorted(space.frozen.items())),
        tuple(sorted(space.caps.items())),
        tuple(sorted(space.weights.items())),
    )
