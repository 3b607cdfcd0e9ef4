"""What a page may tell a run: an act, from this machine, from a page of this very server, with the token."""

import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from bilevel.dashboard.shelf import Shelf
from bilevel.errors import BilevelError, InputError
from bilevel.steering.giving import KINDS, Asked, give

MOST = 16_384  # bytes of a form
FORM = "application/x-www-form-urlencoded"
SCHEME = "Bearer "
FIELDS = frozenset(("kind", "what", "text", "value", "level", "author"))


def barred(token: str, header: Callable[[str, str], str]) -> str:
    """Why a request may change nothing: nobody steers here, another site's page, no token, a wrong one; else empty."""
    if not token:
        return "this server only reads; `bilevel serve --steer` starts one that steers"
    if header("Origin", "") != f"http://{header('Host', '')}":
        return "only pages of this server may steer"
    said = header("Authorization", "")
    if not said.startswith(SCHEME) or not hmac.compare_digest(said.removeprefix(SCHEME).encode(), token.encode()):
        return "the token is missing or wrong; open the address that `bilevel serve --steer` printed"
    return ""


def take(shelf: Shelf, key: str, body: str) -> tuple[int, str]:
    """Give a run the act of a form; the status and what to say."""
    try:
        form = {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True, max_num_fields=20).items()}
        act = give(shelf.run(key).path, _asked(form))
    except (InputError, ValueError) as error:
        return 422, str(error)
    except BilevelError as error:
        return 500, str(error)
    return 200, f"act {act.number}: {act.said}; it is taken up between two trials"


def _asked(form: Mapping[str, str]) -> Asked:
    unknown = sorted(form.keys() - FIELDS)
    if unknown or form.get("kind") not in KINDS:
        said = ", ".join(unknown) or form.get("kind", "nothing")
        raise InputError(f"{said!r} is no act; acts are {', '.join(KINDS)}")
    number = form.get("value", "").strip()
    try:
        value = float(number) if number else None
    except ValueError:
        raise InputError(f"{number!r} is no number") from None
    texts = {name: form.get(name, "").strip() for name in ("what", "text", "level", "author")}
    return Asked(form["kind"], value=value, **texts)
