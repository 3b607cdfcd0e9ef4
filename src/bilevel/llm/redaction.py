"""Text without secrets: what leaves the adapter never holds a key, nor a long piece or a masked form of one."""

import re
from collections.abc import Iterable
from urllib.parse import quote

SECRET = "[secret]"
SHORTEST = 8  # a shorter value ("none", "EMPTY", "ollama") is a placeholder, not a secret
PIECE = 10  # so many characters of a key in a row are taken out wherever they stand
SHOWN = 4  # so many characters of a key in a masked echo are too many
_MASKED = re.compile(r"(?<![\w\-])([\w\-]{0,80})(?:[*•…]{2,}|…|\.{3,})([\w\-]{0,80})")  # sk-ab****wxyz

_ADJACENT = re.compile(r"(?:\[secret\]){2,}")


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret, every `PIECE` characters in a row of one, and every masked echo of one replaced."""
    known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
    for secret in known:
        for form in {secret, quote(secret, safe="")}:
            text = text.replace(form, SECRET)
    for secret in known:
        text = _without_pieces(text, secret)
    text = _MASKED.sub(lambda found: SECRET if _echoes(found, known) else found.group(), text)
    return _ADJACENT.sub(lambda found: SECRET, text)


def _without_pieces(text: str, secret: str) -> str:
    """Every stretch of the text that is made of pieces of the secret, replaced."""
    pieces = {secret[start : start + PIECE] for start in range(len(secret) - PIECE + 1)}
    if not any(piece in text for piece in pieces):
        return text
    kept: list[str] = []
    start = 0
    while start < len(text):
        if text[start : start + PIECE] not in pieces:
            kept.append(text[start])
            start += 1
            continue
        end = start + 1
        while text[end : end + PIECE] in pieces:
            end += 1
        kept.append(SECRET)
        start = end - 1 + PIECE
    return "".join(kept)


def _echoes(token: re.Match[str], secrets: Iterable[str]) -> bool:
    """Whether a token with a masked middle shows the beginning and the end of a secret, or one of them."""
    head, tail = token.groups()
    return len(head) + len(tail) >= SHOWN and any(
        secret.startswith(head) and secret.endswith(tail) for secret in secrets
    )
