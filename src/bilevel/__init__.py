"""bilevel: autoresearch that researches itself."""

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "optimize"]


def __getattr__(name: str):  # type: ignore[no-untyped-def]  # without `typing`, which costs more than all the rest
    """`optimize` and `Result`, imported when they are first asked for, so that `import bilevel` costs nothing."""
    if name in ("Result", "optimize"):
        from importlib import import_module

        return getattr(import_module("bilevel.optimizing"), name)
    raise AttributeError(f"module 'bilevel' has no attribute {name!r}")
