"""Long sentences, counted by paragraph: what a model counts badly, for whoever looks for weaknesses."""

import re

from bilevel.workflow_step import WorkflowStep


class LongSentences(WorkflowStep):
    after = "start"
    shown = ("analysis", "revision")
    longest = 24  # words; a sentence above it is named
    most = 5

    def take(self, view, so_far):
        found = []
        for number in so_far.editable:
            text = so_far.paragraphs[number - 1].strip()
            counts = [len(sentence.split()) for sentence in re.split(r"(?<=[.!?])\s+", text)]
            if max(counts) > self.longest and not text.startswith("#"):
                found.append((max(counts), number))
        named = [f"paragraph {number} has one of {count} words" for count, number in sorted(found, reverse=True)]
        return {"long_sentences": named[: self.most]} if named else {}
