"""`models`: which language models could be asked, where their keys are, and whether one answers."""

import time
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from bilevel.call import Message, Reply, Request, Watch
from bilevel.cli.printing import console, jsonable, print_json
from bilevel.errors import BilevelError
from bilevel.llm import Keys, ModelOptions, ProviderInfo, connect, price_table, providers

PROBLEMS_FOUND = 4
MOST_TOKENS = 16  # of the answer to the test question
TESTED = ModelOptions(timeout=60.0, patience=20.0, attempts=3)


@dataclass(frozen=True)
class Tested:
    """What came of a test question. `error` is empty where it was answered; `money` None where no price is known."""

    model: str
    answered_by: str = ""
    text: str = ""
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = None
    error: str = ""


def print_models(test: str | None, as_json: bool) -> int:
    """List the providers, or ask the model `test` one short question. Returns 0, or 4 where it did not answer."""
    keys = Keys.load()
    if test is None:
        _list(providers(keys), keys, as_json)
        return 0
    result = ask_once(test, keys)
    if as_json:
        print_json(jsonable(result))
    else:
        _print_test(result)
    return PROBLEMS_FOUND if result.error else 0


def ask_once(name: str, keys: Keys) -> Tested:
    """One question of a few tokens to a model; what fails is in the result, without any key."""
    started = time.monotonic()
    request = Request((Message("user", "Reply with the word ok."),), most_tokens=MOST_TOKENS)
    try:
        reply = connect(name, TESTED, keys).complete(request, 0, Watch(note=_tell))
    except BilevelError as error:
        return Tested(name, seconds=time.monotonic() - started, error=keys.redact(str(error)))
    return _tested(name, reply, time.monotonic() - started)


def _tested(name: str, reply: Reply, seconds: float) -> Tested:
    return Tested(
        model=name,
        answered_by=reply.model,
        text=reply.text,
        seconds=seconds,
        tokens_in=reply.tokens_in,
        tokens_out=reply.tokens_out,
        money=reply.money,
    )


def _tell(kind: str, text: str) -> None:
    console(stderr=True).print(f"{kind}: {text}", highlight=False, markup=False)


def _print_test(result: Tested) -> None:
    out = console()
    if result.error:
        out.print(f"[red]failed[/] {escape(result.model)} after {result.seconds:.1f} s", highlight=False)
        out.print(f"  {result.error}", highlight=False, markup=False)
        return
    price = "price unknown" if result.money is None else f"{result.money:.6f} US dollars ({price_table()})"
    out.print(f"[green]ok[/] {escape(result.answered_by)} answered in {result.seconds:.1f} s", highlight=False)
    out.print(f"  {result.tokens_in} tokens in, {result.tokens_out} out; {price}", highlight=False, markup=False)


def _list(listed: tuple[ProviderInfo, ...], keys: Keys, as_json: bool) -> None:
    if as_json:
        data = {"providers": jsonable(list(listed)), "dotenv": keys.file, "price_table": price_table()}
        print_json(data)
        return
    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("provider:MODEL", "key", "address"):
        table.add_column(title, overflow="fold")
    for info in listed:
        if info.first_class:
            table.add_row(escape(info.name), _key(info), escape(info.base_url or "(set its address)"))
    out.print(table)
    others = ", ".join(info.name + (" (key found)" if info.found else "") for info in listed if not info.first_class)
    out.print(f"\nthrough pydantic-ai, by its names: {others}", highlight=False, markup=False)
    out.print(f"\n.env: {keys.file or 'none found'}", highlight=False, markup=False)
    out.print(f"prices: {price_table()}", highlight=False, markup=False)
    out.print("try one: bilevel models --test provider:MODEL", highlight=False, markup=False)


def _key(info: ProviderInfo) -> str:
    if info.found:
        return f"[green]found[/]: {info.found} ({info.source})"
    return f"[yellow]missing[/]: {' or '.join(info.keys)}" if info.needs_key else "none needed"
