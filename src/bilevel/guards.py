"""Guards: what the host does for a search beside the mechanisms, each of which can be left out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guards:
    """What is in force for a loop.

    `duplicate_check`: a candidate that was measured, or is being measured, is turned back; without it a repeat takes a
    trial, with the same seed and so the same answer, and is charged. `history`: the researcher sees the earlier trials.
    `reasons`: it is told which of its drafts were turned back in this trial, and why. `mechanisms`: they are called;
    else they are loaded, which is the whole check of them, and never asked anything.
    """

    duplicate_check: bool = True
    history: bool = True
    reasons: bool = True
    mechanisms: bool = True


ALL = Guards()
