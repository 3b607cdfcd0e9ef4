"""A history table."""

from bilevel.mechanism import Mechanism


class HistoryTable(Mechanism):
    """Show the history as a table."""

    domain = "summaries"

    def advise(self, view, briefing):
        import pandas as pd

        rows = [{**trial.candidate.params, "score": trial.score} for trial in view.trace[-10:]]
        return briefing.with_block("history", pd.DataFrame(rows).to_markdown())
