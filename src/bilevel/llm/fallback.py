"""A chain of models: the next one is asked where one does not answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from bilevel.call import LanguageModel, Reply, Request, Watch
from bilevel.errors import ModelUnavailable


@dataclass(frozen=True)
class Fallback:
    """A `LanguageModel` made of others, in the order in which they are asked.

    The next one is asked only where one is unavailable after all its retries; a wrong key, a request that is too long
    or a refusal is told, not gone around. `Reply.model` says who answered. Each question starts with the first again.
    """

    models: Sequence[LanguageModel]

    @property
    def name(self) -> str:
        return ",".join(model.name for model in self.models)

    def complete(self, request: Request, seed: int, watch: Watch) -> Reply:
        """The reply of the first that answers. Raises ModelUnavailable where none does."""
        reasons: list[str] = []
        for number, model in enumerate(self.models):
            if reasons:
                watch.note("fallback", f"{self.models[number - 1].name} did not answer; asking {model.name}")
            try:
                return model.complete(request, seed, watch)
            except ModelUnavailable as error:
                reasons.append(str(error))
        raise ModelUnavailable(f"none of the models {self.name!r} answered: " + " | ".join(reasons))
