"""Logs the model to MLflow, registers it, and decides which version is the champion."""

from __future__ import annotations

import pickle
import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import bir_rules
import ml

from .heads import Heads
from .served_model import NatureOfPaymentModel, signature

CHAMPION, CHALLENGER = "champion", "challenger"
_TWIN = "held_out_heads.pkl"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


class ChampionUnreadable(RuntimeError):
    """The present champion cannot be measured; the text says why."""


def champion_version(name: str) -> str | None:
    """Version number under the alias champion, None when there is no such model or alias."""
    try:
        return str(MlflowClient().get_model_version_by_alias(name, CHAMPION).version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def register(name: str, model: NatureOfPaymentModel, twin: Heads) -> str:
    """Logs `model` into the active run and registers it; returns the new version's number.

    `twin`: heads fitted like the model's, without the held-out vendors. They go along as a file
    that serving never opens, so that a later version can be compared on rows neither has seen.
    The model carries the code it needs; neither a checkout nor our wheel is needed to load it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _TWIN
        path.write_bytes(pickle.dumps(twin))
        info = mlflow.pyfunc.log_model(
            name="nature_of_payment",
            python_model=model,
            artifacts={"held_out": str(path)},
            code_paths=[str(Path(module.__file__).parent) for module in (ml, bir_rules)],
            signature=signature(),
            pip_requirements=_requirements(),
            registered_model_name=name,
        )
    return str(info.registered_model_version)


def twin_of(name: str, number: str) -> Heads:
    """The heads without held-out vendors of a registered version. Raises ChampionUnreadable."""
    try:
        folder = mlflow.artifacts.download_artifacts(f"models:/{name}/{number}")
        return pickle.loads((Path(folder) / "artifacts" / _TWIN).read_bytes())
    except (MlflowException, OSError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise ChampionUnreadable(
            f"version {number} of {name}: {type(error).__name__}: {error}"
        ) from error


def set_alias(name: str, number: str, alias: str) -> None:
    """Points `alias` to the version; a version made champion is no challenger any more."""
    client = MlflowClient()
    client.set_registered_model_alias(name, alias, number)
    if alias == CHAMPION and CHALLENGER in client.get_registered_model(name).aliases:
        client.delete_registered_model_alias(name, CHALLENGER)


def _requirements() -> list[str]:
    packages = ("mlflow", "scikit-learn", "scipy", "numpy", "pandas", "cloudpickle")
    return [f"{package}=={version(package)}" for package in packages]
