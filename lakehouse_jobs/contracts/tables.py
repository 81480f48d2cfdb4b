"""Loads the table contracts (<schema>_<table>.yml)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import yaml

SEVERITIES = ("fail", "drop", "quarantine", "warn")


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    comment: str = ""


@dataclass(frozen=True)
class Expectation:
    """A SQL condition on one row; a row misses it if the condition is false or null.

    severity: `fail` stops the run, `drop` and `quarantine` take the row out (the latter keeps it
    with its reason), `warn` only counts and marks it. A row that misses a `gate` is judged by the
    gate alone. `message_column`, where not null, replaces the message.
    """

    name: str
    expression: str
    severity: str
    column: str
    message: str
    gate: bool = False
    message_column: str | None = None

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"{self.name}: severity is {self.severity!r}, not {SEVERITIES}")


@dataclass(frozen=True)
class TableContract:
    """`table` is schema.name inside the catalogue; types are Spark's, lower case, no blanks."""

    table: str
    description: str
    grain: str
    owner: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    expectations: tuple[Expectation, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def ddl(self) -> str:
        """Column list as a schema string; every column nullable (the engine asks for it)."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)

    def with_severity(self, *severities: str) -> tuple[Expectation, ...]:
        return tuple(e for e in self.expectations if e.severity in severities)


def _load(name: str) -> TableContract:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    spec = yaml.safe_load(text)
    contract = TableContract(
        table=spec["table"],
        description=" ".join(spec["description"].split()),
        grain=spec["grain"],
        owner=spec["owner"],
        keys=tuple(spec["keys"]),
        columns=tuple(Column(**column) for column in spec["columns"]),
        expectations=tuple(Expectation(**e) for e in spec.get("expectations", ())),
    )
    unknown = set(contract.keys) - set(contract.column_names)
    if unknown:
        raise ValueError(f"{name}: keys {sorted(unknown)} are not columns")
    return contract


@lru_cache(maxsize=1)
def _all() -> dict[str, TableContract]:
    folder = resources.files(__package__)
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".yml"))
    contracts = [_load(name) for name in names]
    return {contract.table: contract for contract in contracts}


def contract_names() -> tuple[str, ...]:
    """Tables with a contract, as schema.name."""
    return tuple(_all())


def contract_for(table: str) -> TableContract:
    """The contract of `schema.name`. Raises KeyError with the known names."""
    try:
        return _all()[table]
    except KeyError:
        raise KeyError(f"no contract for {table!r}; there are {', '.join(_all())}") from None
