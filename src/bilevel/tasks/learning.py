"""Real training with scikit-learn on data sets that come with it: below about a second an evaluation.

The seed of a run is the seed of the cross-validation and of the learner. A fifth of the data is sealed: no evaluation
touches it; `sealed` measures a candidate there, for reports.
"""

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bilevel.errors import MissingExtra
from bilevel.lab import Bench
from bilevel.objective import Objective
from bilevel.space import Bool, Candidate, Choice, Domain, Float, Int, Space, Value
from bilevel.tasks.function import FunctionTask
from bilevel.tasks.known import Params, check_name
from bilevel.trial import Run

Array: TypeAlias = Any  # numpy and scikit-learn are imported when something is trained, not with this module
FOLDS, SEALED, SPLIT_SEED = 3, 0.2, 20261121
SEED_LIMIT = 2**32


@dataclass(frozen=True)
class Study:
    """A data set, a learner made of parameters and a seed, and where the search starts."""

    data: str
    metric: str
    unit: str
    minimize: bool
    text: str
    domains: Mapping[str, Domain] = field(hash=False)
    start: Mapping[str, Value] = field(hash=False)
    learner: Callable[[Params, int], Any]


def boosting(params: Params, seed: int) -> Any:
    ensemble = importlib.import_module("sklearn.ensemble")
    return ensemble.GradientBoostingRegressor(random_state=seed % SEED_LIMIT, **params)


def svc(params: Params, seed: int) -> Any:
    made = dict(params)
    scale = made.pop("scale")
    steps = [importlib.import_module("sklearn.preprocessing").StandardScaler()] if scale else []
    learner = importlib.import_module("sklearn.svm").SVC(random_state=seed % SEED_LIMIT, **made)
    return importlib.import_module("sklearn.pipeline").make_pipeline(*steps, learner)


def mlp(params: Params, seed: int) -> Any:
    made = dict(params)
    layers, width = made.pop("layers"), made.pop("width")
    assert isinstance(layers, int) and isinstance(width, int)
    network = importlib.import_module("sklearn.neural_network").MLPClassifier(
        hidden_layer_sizes=(width,) * layers, max_iter=12, random_state=seed % SEED_LIMIT, **made
    )
    scaler = importlib.import_module("sklearn.preprocessing").MinMaxScaler()
    return importlib.import_module("sklearn.pipeline").make_pipeline(scaler, network)


STUDIES: Mapping[str, Study] = {
    "diabetes-boosting": Study(
        "load_diabetes", "rmse", "root mean squared error", True, "gradient boosting on the diabetes data",
        {
            "learning_rate": Float(0.005, 1.0, log=True),
            "n_estimators": Int(10, 160, log=True),
            "max_depth": Int(1, 8),
            "subsample": Float(0.3, 1.0),
            "min_samples_leaf": Int(1, 40, log=True),
            "max_features": Float(0.1, 1.0),
        },
        {"learning_rate": 0.5, "n_estimators": 100, "max_depth": 6, "subsample": 1.0, "min_samples_leaf": 1,
         "max_features": 1.0},
        boosting,
    ),
    "digits-svc": Study(
        "load_digits", "accuracy", "share", False, "a support vector machine on the digits data",
        {
            "C": Float(0.01, 1000.0, log=True),
            "gamma": Float(1e-6, 1.0, log=True),
            "kernel": Choice(("linear", "poly", "rbf", "sigmoid")),
            "degree": Int(2, 5),
            "coef0": Float(0.0, 5.0),
            "scale": Bool(),
            "shrinking": Bool(),
        },
        {"C": 0.05, "gamma": 0.1, "kernel": "rbf", "degree": 3, "coef0": 0.0, "scale": True, "shrinking": True},
        svc,
    ),
    "digits-mlp": Study(
        "load_digits", "accuracy", "share", False, "a multilayer perceptron on the digits data, twelve epochs",
        {
            "layers": Int(1, 3),
            "width": Int(8, 128, power_of_two=True),
            "activation": Choice(("logistic", "tanh", "relu")),
            "learning_rate_init": Float(1e-4, 0.3, log=True),
            "alpha": Float(1e-7, 1.0, log=True),
            "batch_size": Int(16, 256, power_of_two=True),
            "beta_1": Float(0.5, 0.99),
        },
        {"layers": 2, "width": 16, "activation": "logistic", "learning_rate_init": 0.001, "alpha": 1e-4,
         "batch_size": 128, "beta_1": 0.9},
        mlp,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Training:
    """The function: parameters and seed to the mean score over the folds, on the data that is not sealed."""

    name: str

    def __call__(self, params: Params, seed: int) -> dict[str, float]:
        """Raises what the learner raises; that is the candidate's failure."""
        study, data = STUDIES[self.name], split(STUDIES[self.name].data)
        selection = importlib.import_module("sklearn.model_selection")
        kind = selection.KFold if study.minimize else selection.StratifiedKFold
        folds = kind(FOLDS, shuffle=True, random_state=seed % SEED_LIMIT)
        scores = []
        for train, test in folds.split(data.inputs, data.targets):
            found = self._fit(params, seed, data.inputs[train], data.targets[train])
            scores.append(_score(study, data.targets[test], found.predict(data.inputs[test])))
        return {study.metric: sum(scores) / len(scores)}

    def sealed(self, params: Params, seed: int) -> float:
        """The score on the sealed fifth, after training on all of the rest."""
        study, data = STUDIES[self.name], split(STUDIES[self.name].data)
        found = self._fit(params, seed, data.inputs, data.targets)
        return _score(study, data.sealed_targets, found.predict(data.sealed_inputs))

    def _fit(self, params: Params, seed: int, inputs: Array, targets: Array) -> Any:
        learner = STUDIES[self.name].learner(params, seed)
        limits = importlib.import_module("threadpoolctl").threadpool_limits
        with warnings.catch_warnings(), limits(1):  # with more threads sums come out in another order
            warnings.simplefilter("ignore")
            return learner.fit(inputs, targets)


@dataclass(frozen=True)
class TrainingTask(FunctionTask):
    """A scikit-learn task with its sealed split."""

    training: Training = Training("")

    @property
    def seals(self) -> tuple[str, ...]:
        """The objective on the sealed fifth, under a name of its own."""
        return (f"sealed_{self.objective.name}",)

    def sealed(self, candidate: Candidate, bench: Bench) -> Run:
        """Measure the objective on the sealed fifth of the data, which no evaluation touches; for reports only."""
        name, study = self.seals[0], self.training
        apart = FunctionTask(
            name=self.name,
            function=lambda params, seed: {name: study.sealed(params, seed)},
            space=self.space,
            start=self.start,
            objective=Objective(name, self.objective.unit, self.objective.minimize),
            brief=self.brief,
        )
        return apart.run(candidate, bench)


def learning(study: str = "") -> TrainingTask:
    """A study as a task. Raises InputError for an unknown one, MissingExtra without scikit-learn."""
    check_name("sklearn", study, STUDIES)
    try:
        version = importlib.import_module("sklearn").__version__
    except ModuleNotFoundError:
        raise MissingExtra(f"task 'sklearn:{study}'", "science") from None
    found, training = STUDIES[study], Training(study)
    verb = "Minimise" if found.minimize else "Maximise"
    return TrainingTask(
        name=f"sklearn:{study}",
        function=training,
        space=Space(found.domains),
        start=Candidate(found.start),
        objective=Objective(found.metric, found.unit, found.minimize),
        brief=f"# {study}\n\n{verb} `{found.metric}` of {found.text}: the mean of a {FOLDS}-fold cross-validation, "
        "shuffled by the seed. The parameters are the learner's, under scikit-learn's names.\n",
        version=f"{version} {split(found.data).digest} {_code(study)}",
        title=title(study),
        training=training,
    )


def title(study: str) -> str:
    """One line for a list of tasks; imports nothing."""
    return f"Real training: {STUDIES[study].text}; needs bilevel[science]"


@dataclass(frozen=True)
class Data:
    """A data set in two parts, split once for all, and the hash of its content."""

    inputs: Array
    targets: Array
    sealed_inputs: Array
    sealed_targets: Array
    digest: str


@functools.cache
def split(name: str) -> Data:
    import hashlib

    inputs, targets = getattr(importlib.import_module("sklearn.datasets"), name)(return_X_y=True)
    selection = importlib.import_module("sklearn.model_selection")
    stratify = targets if name == "load_digits" else None
    parts = selection.train_test_split(
        inputs, targets, test_size=SEALED, random_state=SPLIT_SEED, stratify=stratify
    )  # fmt: skip
    digest = hashlib.sha256(inputs.tobytes() + targets.tobytes()).hexdigest()[:16]
    return Data(parts[0], parts[2], parts[1], parts[3], digest)


def _score(study: Study, truth: Array, predicted: Array) -> float:
    import numpy as np

    if study.minimize:
        return float(np.sqrt(np.mean((truth - predicted) ** 2)))
    return float(np.mean(truth == predicted))


def _code(study: str) -> str:
    """The text of what the function calls: it belongs to what measures."""
    import inspect

    return "".join(inspect.getsource(part) for part in (STUDIES[study].learner, split, _score))
