"""bilevel: autoresearch that researches itself."""

__version__ = "0.1.0"
__all__ = ["Result", "Run", "__version__", "optimize"]


def __getattr__(name: str):  # type: ignore[no-untyped-def]  # without `typing`, which costs more than all the rest
    """`optimize`, `Result` and `Run`, imported when first asked for, so that `import bilevel` costs nothing."""
    if name in ("Result", "optimize", "Run"):
        from importlib import import_module

        return getattr(import_module("bilevel.notebook" if name == "Run" else "bilevel.optimizing"), name)
    raise AttributeError(f"module 'bilevel' has no attribute {name!r}")
