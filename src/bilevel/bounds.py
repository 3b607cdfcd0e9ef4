"""How much guests may say: bounds on what mechanisms propose, advise and ask, so that a run stays small and stored."""

from dataclasses import dataclass

from bilevel.call import Ask, Reply, Request
from bilevel.codec import canonical
from bilevel.errors import BilevelError, GuestError

MOST_PROPOSALS = 64
MOST_STEPS = 16
MOST_TEXT = 1_000_000  # characters of a proposal's or a briefing's canonical text
MOST_WHY = 20_000  # characters of a proposal's `why`, and of its notes
MOST_REASON = 500  # characters of the reason for which a mechanism turns a draft back
MOST_NAME = 100  # characters of who proposes, and of what a model is asked for
MOST_ADVICE = 100_000  # characters of all advice in a briefing
MOST_ASKS = 8  # questions of one hook to a model
MOST_ASKED = 200_000  # characters of one such question
MOST_TOKENS = 65_536  # of its answer


def check_question(request: Request, purpose: str, repeat: int) -> None:
    """What a provider would refuse, or a store could not hold, is the mechanism's fault, and ends no run."""
    if not (purpose.isprintable() and "/" not in purpose and len(purpose) <= MOST_NAME):
        raise GuestError(f"a model is asked for a purpose: a line of at most {MOST_NAME} characters without '/'")
    if type(repeat) is not int or not 0 <= repeat < 1000:
        raise GuestError("the repeat of a question is a whole number from 0 to 999")
    if type(request.most_tokens) is not int or not 1 <= request.most_tokens <= MOST_TOKENS:
        raise GuestError(f"most_tokens is a whole number from 1 to {MOST_TOKENS:,}")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise GuestError("a temperature lies between 0 and 2")
    texts = [message.text for message in request.messages]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise GuestError("a question to a model has messages, and each has a text")
    check_small(request, "a question to a model", MOST_ASKED)


def check_small(answer: object, hook: str, most: int = MOST_TEXT) -> None:
    """Raise GuestError for what a hook returns that cannot be stored, or is longer than `most` characters."""
    try:
        length = len(canonical(answer))
    except (TypeError, ValueError) as error:
        raise GuestError(f"what {hook} returns cannot be stored: {error}") from None
    if length > most:
        raise GuestError(f"what {hook} returns is too long: {length:,} of at most {most:,} characters")


@dataclass
class Asking:
    """A mechanism's questions to a model during one hook. `failure` is none of the mechanism's: a wrong key, a stop."""

    name: str
    asks: Ask
    count: int = 0
    failure: BilevelError | None = None

    def __call__(self, request: Request, purpose: str, seed: int, repeat: int) -> Reply:
        self.count += 1
        if self.count > MOST_ASKS:
            raise GuestError(f"a hook may ask a model at most {MOST_ASKS} times")
        check_question(request, purpose, repeat)
        try:
            return self.asks(request, f"mechanism {self.name}/{purpose}", seed, repeat)
        except GuestError:
            raise
        except BilevelError as error:
            self.failure = error
            raise
