"""A bandit whose counts are kept in memory."""

from bilevel.mechanism import Mechanism


class CountingBandit(Mechanism):
    """Tell how often each parameter was changed, and with which success."""

    domain = "multi-armed bandit"

    def remember(self, memory, trial):
        counts = dict(memory or {})
        for name in trial.changes:
            tried, kept = counts.get(name, (0, 0))
            counts[name] = (tried + 1, kept + trial.decision.keep)

    def advise(self, view, briefing):
        if not view.memory:
            return briefing
        text = "\n".join(f"{name}: {kept} of {tried} kept" for name, (tried, kept) in view.memory.items())
        return briefing.with_block("bandit", text)
