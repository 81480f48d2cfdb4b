"""Parameters of a Thrift statement as those of the engine."""

from __future__ import annotations

from databricks.sql.thrift_api.TCLIService import ttypes

from ...engine.interface import EngineError, Parameter


def convert(given: list[ttypes.TSparkParameter] | None) -> list[Parameter]:
    """Typed parameters: by name, or in the order of the ``?`` marks where none has a name.

    Raises EngineError for arrays, maps and structs: their values come in parts.
    """
    return [_parameter(position, one) for position, one in enumerate(given or [], 1)]


def _parameter(position: int, given: ttypes.TSparkParameter) -> Parameter:
    if given.arguments is not None:
        raise EngineError(
            f"[UNSUPPORTED_FEATURE] A parameter of type {given.type} is not computed by the local "
            "workspace. SQLSTATE: 0A000",
            "UNSUPPORTED_FEATURE",
            "0A000",
        )
    return Parameter(given.name or "", _value(given.value), given.type or "STRING")


def _value(value: ttypes.TSparkParameterValue | None) -> str | None:
    if value is None:
        return None
    if value.stringValue is not None:
        return value.stringValue
    if value.booleanValue is not None:
        return "true" if value.booleanValue else "false"
    return None if value.doubleValue is None else repr(value.doubleValue)
