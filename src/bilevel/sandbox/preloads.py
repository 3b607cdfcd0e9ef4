"""What is imported into a sandboxed process beforehand, so that nothing has to be read from a file later."""

from __future__ import annotations

FAMILIES = {
    "numpy": (
        "numpy", "numpy.linalg", "numpy.random", "numpy.fft", "numpy.polynomial", "numpy.ma",
    ),
    "scipy": (
        "multiprocessing", "scipy", "scipy.stats", "scipy.optimize", "scipy.linalg", "scipy.spatial",
        "scipy.special", "scipy.interpolate",
        "scipy.cluster.hierarchy", "scipy.cluster.vq", "scipy.integrate", "scipy.signal", "scipy.ndimage",
        "scipy.sparse", "scipy.sparse.linalg", "scipy.fft", "scipy.stats.qmc",
    ),
    "sklearn": (
        "sklearn", "sklearn.gaussian_process", "sklearn.gaussian_process.kernels", "sklearn.ensemble",
        "sklearn.linear_model", "sklearn.neighbors", "sklearn.tree", "sklearn.preprocessing", "sklearn.svm",
        "sklearn.cluster", "sklearn.decomposition", "sklearn.pipeline", "sklearn.model_selection", "sklearn.metrics",
        "sklearn.kernel_ridge", "sklearn.neural_network", "sklearn.compose", "sklearn.isotonic", "sklearn.mixture",
        "sklearn.naive_bayes", "sklearn.inspection", "sklearn.feature_selection", "sklearn.impute",
    ),
}  # fmt: skip
"""The packages that are imported as a whole when they are asked for by name, and which of their parts that means."""


def expanded(modules: tuple[str, ...]) -> tuple[str, ...]:
    """The modules to import, with a family's parts in place of its name, each once."""
    return tuple(dict.fromkeys(part for name in modules for part in FAMILIES.get(name, (name,))))
