"""Files of runs and models: one folder, reached by the names of two kinds of clients."""

from __future__ import annotations

from pathlib import Path

from ..errors import bad_request
from ..storage.uploads import Uploads
from ..storage.volumes import Volumes
from .registry import ModelRegistry

_KINDS = {"Runs": (), "LoggedModels": ("models",)}


class ArtifactFiles(Volumes):
    """The root of all artifacts. Paths are relative to it, as in ``mlflow-artifacts:/PATH``."""

    def locate(self, path: str) -> tuple[Path, bool]:
        """Return (place on disk, whether it is the root). Raises ApiError 400, see Volumes."""
        parts = path.strip("/").split("/") if path.strip("/") else []
        return below(self.root, parts, path), not parts

    def list(self, path: str) -> list[dict]:
        """Entries of a folder as MLflow lists them: path (last part), is_dir, file_size."""
        folder, _ = self.locate(path)
        if not folder.is_dir():
            return []
        return [
            {"path": entry.name, "is_dir": True}
            if entry.is_dir()
            else {"path": entry.name, "is_dir": False, "file_size": entry.stat().st_size}
            for entry in sorted(folder.iterdir())
        ]


class FileTree(Volumes):
    """What the Files API reaches: volumes, and the artifacts of runs, logged and registered models.

    ``/WorkspaceInternal/Mlflow/Artifacts/EXPERIMENT/Runs|LoggedModels/ID/...`` and
    ``/Models/CATALOG/SCHEMA/MODEL/VERSION/...`` are where MLflow's Databricks clients look.
    """

    def __init__(
        self, root: Path, uploads: Uploads, artifacts: Path, registry: ModelRegistry
    ) -> None:
        super().__init__(root, uploads)
        self._artifacts = artifacts
        self._registry = registry

    def locate(self, path: str) -> tuple[Path, bool]:
        parts = path.strip("/").split("/")
        if parts[:3] == ["WorkspaceInternal", "Mlflow", "Artifacts"]:
            if len(parts) < 6 or parts[4] not in _KINDS:
                raise bad_request(f"The path {path!r} names no run or logged model.")
            inside = [parts[3], *_KINDS[parts[4]], *parts[5:]]
            return below(self._artifacts, inside, path), len(parts) == 6
        if parts[0] == "Models":
            if len(parts) < 5 or not parts[4].isdigit():
                raise bad_request(f"The path {path!r} names no model version.")
            folder = self._registry.folder(".".join(parts[1:4]), int(parts[4]))
            return below(folder, parts[5:], path), len(parts) == 5
        return super().locate(path)


def below(root: Path, parts: list[str], path: str) -> Path:
    """The place of ``parts`` under a folder. Raises ApiError 400 when it would lie outside."""
    if any(part in ("", ".", "..") or "\0" in part or len(part) > 255 for part in parts):
        raise bad_request(f"The path {path!r} has an empty, relative or overlong part.")
    place = root.joinpath(*parts)
    if not place.resolve().is_relative_to(root.resolve()):
        raise bad_request(f"The path {path!r} leads out of its folder.")
    return place
