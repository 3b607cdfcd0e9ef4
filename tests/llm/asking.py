"""A model with the scripted server behind it, and what it told while it was asked."""

from dataclasses import dataclass, field
from types import MappingProxyType

from servers import ScriptedServer
from wires import MODELS

from bilevel.call import LanguageModel, Message, Reply, Request, Watch
from bilevel.llm import Keys

SECRET = "sk-test-0123456789-abcdefghij"  # what the tests use as every provider's key
KEYS = {
    "openai": "OPENAI_API_KEY",
    "responses": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "glm": "ZAI_API_KEY",
    "minimax": "MINIMAX_API_KEY",
    "compatible": "OPENAI_COMPATIBLE_API_KEY",
}
QUESTION = Request((Message("system", "You are terse."), Message("user", "What next?")), most_tokens=300)


@dataclass
class Asking:
    """A model, the server behind it, and the notes that it left."""

    model: LanguageModel
    server: ScriptedServer
    notes: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, request: Request = QUESTION, seed: int = 5) -> Reply:
        return self.model.complete(request, seed, Watch(note=lambda kind, text: self.notes.append((kind, text))))


def keys_for(style: str, **more: str) -> Keys:
    return Keys(MappingProxyType({KEYS[style]: SECRET, **more}))


def full_name(style: str) -> str:
    return f"{'openai-responses' if style == 'responses' else style}:{MODELS[style]}"
