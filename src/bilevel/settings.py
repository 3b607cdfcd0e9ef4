"""Settings: the knobs of a loop that level 1.5 may turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

STRATEGIES = ("balanced", "explore", "exploit")
PICKERS = ("first", "novelty", "model")


@dataclass(frozen=True)
class Settings:
    """How a loop searches, apart from its mechanisms.

    `frozen`: parameters that keep the parent's value, each with the reason. `strategy`: how far a researcher steps
    ("explore" wide, "exploit" narrow). `guidance`: text that a researcher which reads advice is shown. `drafts`: how
    many proposals it is asked for at once. `picker`: which of them comes first, where the researcher is a model: its
    own first, the one farthest from all that was tried, or the one that a second call picks. `repairs`: how often in a
    row a candidate that failed by a slip is sent back to its author. `redrafts`: how often the researcher is asked
    again when all its drafts were turned back. `history_window`: how many of the last trials it is shown (0 is all).
    `max_faults`: after so many faults a mechanism is retired.
    """

    frozen: Mapping[str, str] = field(default_factory=dict)
    strategy: str = "balanced"
    guidance: str = ""
    drafts: int = 1
    redrafts: int = 2
    history_window: int = 0
    max_faults: int = 3
    picker: str = "first"
    repairs: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "frozen", MappingProxyType(dict(self.frozen)))
