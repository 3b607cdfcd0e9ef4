"""Entries that run inside a cell."""

import os

CWD = os.getcwd()  # asked before the walls close


def echo(request, ask):
    return request


def hostile(request, ask):
    """Run a source text, as a guest that no door has looked at; what it leaves in `result` is the reply."""
    names = {"ask": ask, "result": None}
    try:
        exec(request, names)
    except Exception as error:
        return {"error": type(error).__name__, "errno": getattr(error, "errno", None), "text": str(error)[:300]}
    return names["result"]


def environment(request, ask):
    return {"environ": dict(os.environ), "cwd": CWD, "hash": hash("a text")}


def question(request, ask):
    return [ask(item) for item in request]
