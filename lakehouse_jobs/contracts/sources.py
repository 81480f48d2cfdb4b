"""Loads the source contracts: which header of which export means which of our fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import yaml

FIELDS = (
    "company", "document_kind", "document_no", "line_no", "document_date", "vendor_name",
    "vendor_tin", "description", "expense_category", "nature_of_payment", "currency", "amount",
    "amount_basis", "vat_amount", "vat_status",
)  # fmt: skip
DATE_FORMATS = ("iso_date", "day_first", "utc_timestamp")


@dataclass(frozen=True)
class SourceField:
    """One of our fields in one source: a constant, or the first of `headers` that has a value.

    `values` maps the written word (lower case) to our code; `json_number` marks a JSON number
    whose digits must reach us as they are written.
    """

    name: str
    headers: tuple[str, ...] = ()
    constant: str | None = None
    required: bool = True
    format: str | None = None
    values: tuple[tuple[str, str], ...] | None = None
    json_number: bool = False


@dataclass(frozen=True)
class SourceContract:
    name: str
    format: str
    header_style: str
    fields: tuple[SourceField, ...]

    def text_headers(self, present: Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """Field -> its headers, in the order in which they are asked; only those in `present`."""
        known = None if present is None else set(present)
        return {
            field.name: tuple(h for h in field.headers if known is None or h in known)
            for field in self.fields
        }

    @property
    def headers(self) -> tuple[str, ...]:
        return tuple(header for field in self.fields for header in field.headers)

    def missing(self, headers: Iterable[str]) -> tuple[str, ...]:
        """Required headers that are absent (the first spelling of each)."""
        present = set(headers)
        return tuple(
            field.headers[0]
            for field in self.fields
            if field.required and field.headers and not present.intersection(field.headers)
        )


@lru_cache(maxsize=1)
def _value_maps() -> dict[str, dict[str, str]]:
    return _yaml("value_maps.yml")


def _yaml(name: str) -> dict:
    text = resources.files(__package__).joinpath("sources", name).read_text(encoding="utf-8")
    return yaml.safe_load(text)


def value_map(name: str) -> dict[str, str]:
    """A shared map of written words to codes, such as `accounts`."""
    return dict(_value_maps()[name])


def _field(name: str, spec: dict) -> SourceField:
    values = spec.get("values")
    if isinstance(values, str):
        values = value_map(values)
    if spec.get("format") not in (None, *DATE_FORMATS):
        raise ValueError(f"{name}: format is {spec['format']!r}, not one of {DATE_FORMATS}")
    return SourceField(
        name=name,
        headers=tuple(spec.get("headers", ())),
        constant=spec.get("constant"),
        required=spec.get("required", True) and "constant" not in spec,
        format=spec.get("format"),
        values=None if values is None else tuple(values.items()),
        json_number=spec.get("json_number", False),
    )


@lru_cache(maxsize=1)
def source_contracts() -> tuple[SourceContract, ...]:
    """All source contracts, by name. Raises ValueError if one lacks or invents a field."""
    folder = resources.files(__package__).joinpath("sources")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".yml"))
    contracts = []
    for name in names:
        if name == "value_maps.yml":
            continue
        spec = _yaml(name)
        if set(spec["fields"]) != set(FIELDS):
            difference = sorted(set(spec["fields"]) ^ set(FIELDS))
            raise ValueError(f"{name}: fields differ from ours: {difference}")
        fields = tuple(_field(field, spec["fields"][field]) for field in FIELDS)
        contracts.append(SourceContract(spec["name"], spec["format"], spec["header_style"], fields))
    return tuple(contracts)
