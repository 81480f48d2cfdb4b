"""What a child process of a job or a pipeline is given: settings, and files by workspace path."""

from __future__ import annotations

from pathlib import Path

from ..errors import ApiError
from .task_process import TaskStartError

_TREE = ("/Workspace/", "/Users/", "/Shared/")


def task_values(services, token: str) -> dict[str, str]:
    """Environment of a child: the engine, the folders, MLflow, and this workspace with a token."""
    settings = services.settings
    return {
        "SPARK_REMOTE": services.engine.remote(),
        "LAKEHOUSE_TABLES_ROOT": str(settings.tables),
        "LAKEHOUSE_VOLUMES_ROOT": str(settings.volumes),
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "MLFLOW_REGISTRY_URI": settings.mlflow_uri,
        # The place of artifacts of new experiments; without it, the working folder.
        "_MLFLOW_SERVER_ARTIFACT_ROOT": settings.artifacts.as_uri(),
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": settings.artifacts.as_uri(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **settings.trust,
        "DATABRICKS_HOST": settings.host,
        "DATABRICKS_TOKEN": token,
    }


def local_file(services, path: str) -> Path:
    """The place of a Volume's or the workspace tree's file; any other path stands for itself.

    Raises TaskStartError, naming the path, where it cannot be used or does not exist.
    """
    path = path.removeprefix("dbfs:")
    try:
        if path.startswith("/Volumes/"):
            return services.volumes.file(path)
        if path.startswith(_TREE):
            return services.workspace_files.existing(path)
    except ApiError as error:
        raise TaskStartError("RESOURCE_NOT_FOUND", error.message) from error
    return Path(path)
