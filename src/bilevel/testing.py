"""For those who write their own guests: the suites by which bilevel itself admits them.

Each gives a list of problems, so a test is one line: `assert check_mechanism(MyRule) == []`.
"""

from bilevel.admission import Admission, Door, admit
from bilevel.conformance import check_mechanism
from bilevel.port_suites import check_researcher, check_store, check_surface, check_task

__all__ = [
    "Admission",
    "Door",
    "admit",
    "check_mechanism",
    "check_researcher",
    "check_store",
    "check_surface",
    "check_task",
]
