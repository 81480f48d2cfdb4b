"""Pipeline specs: what is accepted, what is refused by name, and what a child makes of them."""

from __future__ import annotations

from ..errors import bad_request, not_computed

# Fields of a create or edit call that say something about the call, not about the pipeline.
_CALL_FIELDS = ("allow_duplicate_names", "dry_run", "expected_last_modified", "run_as", "id")
# What these ask for has no counterpart on one machine, so that accepting them would be a lie.
_REFUSED = (
    "dry_run", "continuous", "trigger", "ingestion_definition", "gateway_definition", "filters",
    "event_log", "notifications", "restart_window", "parameters",
)  # fmt: skip
SOURCE_KINDS = ("file", "glob")
_OTHER_LIBRARIES = ("notebook", "jar", "maven")


def check_spec(body: dict, user_name: str) -> dict:
    """The spec in the body of a create or edit call, as it is to be kept and echoed.

    Raises ApiError 400 for what is wrong and 501, by name, for what is not computed here.
    """
    for field in _REFUSED:
        if body.get(field):
            raise not_computed(f"{field} of a pipeline")
    _check_run_as(body.get("run_as"), user_name)
    spec = {name: value for name, value in body.items() if name not in _CALL_FIELDS}
    _text(spec, "name", required=True)
    for name in ("catalog", "schema", "target", "root_path", "storage"):
        _text(spec, name)
    if spec.get("schema") and spec.get("target"):
        raise bad_request("schema and target exclude each other.")
    values = spec.get("configuration") or {}
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise bad_request("configuration must map names to texts.")
    if not sources(spec):
        raise bad_request("libraries: a pipeline needs at least one file or glob.")
    wheels(spec)
    return spec


def sources(spec: dict) -> list[tuple[str, str]]:
    """(file or glob, path) for each library that defines a part of the graph."""
    found = []
    for library in _libraries(spec):
        kind = next(iter(library))
        if kind == "whl":
            continue
        inner = library[kind]
        key = "path" if kind == "file" else "include"
        path = inner.get(key) if isinstance(inner, dict) else None
        if not isinstance(path, str) or not path or "\0" in path:
            raise bad_request(f"libraries: {kind}.{key} is missing.")
        found.append((kind, path))
    return found


def wheels(spec: dict) -> list[str]:
    """Paths of the wheels that the pipeline's code needs."""
    found = [library["whl"] for library in _libraries(spec) if "whl" in library]
    environment = spec.get("environment") or {}
    if not isinstance(environment, dict):
        raise bad_request("environment must be an object.")
    dependencies = environment.get("dependencies") or []
    if not isinstance(dependencies, list):
        raise bad_request("environment.dependencies must be a list.")
    found += dependencies
    for path in found:
        if not isinstance(path, str) or not path.endswith(".whl"):
            raise not_computed(f"A dependency that is no wheel: {str(path)[:200]}")
    return found


def _libraries(spec: dict) -> list[dict]:
    libraries = spec.get("libraries") or []
    if not isinstance(libraries, list):
        raise bad_request("libraries must be a list.")
    for library in libraries:
        if not isinstance(library, dict) or len(library) != 1:
            raise bad_request("libraries: each entry has exactly one of file, glob, whl.")
        kind = next(iter(library))
        if kind in _OTHER_LIBRARIES:
            raise not_computed(f"Library kind {kind} of a pipeline")
        if kind not in (*SOURCE_KINDS, "whl"):
            raise bad_request(f"libraries: unknown kind {kind[:80]!r}.")
    return libraries


def _check_run_as(run_as: object, user_name: str) -> None:
    if not run_as:
        return
    names = list(run_as.values()) if isinstance(run_as, dict) else []
    if names != [user_name]:
        raise not_computed("run_as of a pipeline other than its creator")


def _text(spec: dict, name: str, required: bool = False) -> None:
    value = spec.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or not value.strip() or len(value) > 4096:
        raise bad_request(f"{name} must be a text that is not empty.")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise bad_request(f"{name} holds half of a character.")


def default_schema(spec: dict) -> str:
    """The schema of a dataset whose name has none."""
    return spec.get("schema") or spec.get("target") or "default"
