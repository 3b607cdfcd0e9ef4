"""The program, and the options that several of its commands share."""

from typing import Annotated

from cyclopts import App, Parameter

from bilevel import __version__

app = App(
    name="bilevel",
    version=__version__,
    help="Autoresearch that researches itself: a search loop, and outer loops that change how it searches.\n\n"
    "Exit codes: 0 done, 1 failure, 2 unusable input, 3 stopped (resume goes on), 4 problems found.",
)
Json = Annotated[bool, Parameter(negative="", help="Print JSON instead of text.")]
MaxSeconds = Annotated[float | None, Parameter(help="Wall time that the whole run may take.")]
MaxTokens = Annotated[int | None, Parameter(help="Tokens that all models together may use.")]
MaxMoney = Annotated[float | None, Parameter(help="US dollars that all models together may cost.")]
On = Annotated[
    tuple[str, ...],
    Parameter(
        help="EVENT=COMMAND: a command of yours on what happens, with the facts as JSON on its input; EVENT is "
        "finished, failed, best, budget, stuck, gate, mechanism or act. May be given several times."
    ),
]
