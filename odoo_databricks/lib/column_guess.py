"""How a column of a gold table is best shown in Odoo: its types, role, label and aggregation.

A guess from the name and the type alone; a person may change every part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["FIELD_TYPES", "Guess", "guess", "is_ratio", "label_of", "sql_type_of"]

_INTEGERS = {"tinyint": "integer", "smallint": "integer", "int": "integer", "bigint": "bigint"}
_PLAIN = {
    **_INTEGERS,
    "string": "varchar",
    "boolean": "boolean",
    "float": "double precision",
    "double": "double precision",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp",
}
# which Odoo fields can show a PostgreSQL type, the usual one first
FIELD_TYPES = {
    "varchar": ("char", "text"),
    "boolean": ("boolean",),
    "integer": ("integer",),
    "bigint": ("integer",),
    "double precision": ("float",),
    "numeric": ("float", "monetary"),
    "date": ("date",),
    "timestamp": ("datetime",),
}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_TEXT = re.compile(r"(?:var)?char\(\d+\)")
_RATIO = re.compile(r"(^|_)(rate|pct|percent|percentage|ratio|share|avg|average|price|score)$")
_COUNT = re.compile(r"^(count|num|n|qty)_|(^|_)(count|counts|qty|quantity|rows|lines|days)$")
_ABBREVIATIONS = {"tin", "vat", "ewt", "atc", "bir", "ap", "ar", "id", "po", "sku", "rdo"}


@dataclass(frozen=True)
class Guess:
    """`ttype` is an Odoo field type; empty, like sql_type, if Odoo cannot show the column."""

    name: str
    remote_type: str
    sql_type: str
    ttype: str
    label: str
    role: str = "value"
    aggregation: str = "none"
    index: bool = False


def sql_type_of(remote_type: str) -> str:
    """The PostgreSQL type that holds a Spark SQL type; empty for one that no field can show."""
    text = remote_type.strip().lower()
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return f"numeric({decimal[1]},{decimal[2]})"
    return "varchar" if _TEXT.fullmatch(text) else _PLAIN.get(text, "")


def is_ratio(name: str) -> bool:
    """True for a rate, a share, a unit price ...: a sum over rows would mean nothing."""
    return bool(_RATIO.search(name.lower()))


def label_of(name: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_")
    shown = [word.upper() if word in _ABBREVIATIONS else word for word in words if word]
    text = " ".join(shown)
    return text[:1].upper() + text[1:] or name


def guess(columns: Iterable[tuple[str, str]]) -> list[Guess]:
    """Guesses for (name, remote type) pairs of one table, in the same order."""
    columns = list(columns)
    roles = _roles(columns)
    with_currency = "currency" in roles.values()
    return [_one(name, remote, roles.get(name, ""), with_currency) for name, remote in columns]


def _roles(columns: list[tuple[str, str]]) -> dict[str, str]:
    """The columns that identify a row; each role is given at most once."""
    types = {name: sql_type_of(remote) for name, remote in columns}
    texts = [name for name in types if types[name] == "varchar"]
    moments = [name for name in types if types[name] == "timestamp"]
    whole = [name for name in types if types[name] in ("varchar", "integer", "bigint")]
    keys = [name for name in texts if name.lower().endswith("_key")]
    wanted = {
        "key": _first(whole, "row_key", "id", *(keys if len(keys) == 1 else ())),
        "company": _first(texts, "company_code", "company"),
        "currency": _first(texts, "currency", "currency_code", "currency_iso"),
        "partner_tin": next((n for n in texts if re.search(r"(^|_)tin$", n.lower())), None),
        "updated": _first(moments, "updated_at", "modified_at", "_updated_at", "last_updated"),
        "account": _first(texts, "account_code", "gl_account"),
    }
    return {name: role for role, name in wanted.items() if name}


def _first(names: list[str], *wanted: str) -> str | None:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name.lower()] for name in wanted if name.lower() in lower), None)


def _one(name: str, remote_type: str, role: str, with_currency: bool) -> Guess:
    sql_type = sql_type_of(remote_type)
    result = Guess(name, remote_type, sql_type, "", label_of(name))
    if not sql_type:
        return replace(result, role="skip")
    kinds = FIELD_TYPES[sql_type.partition("(")[0]]
    ratio = is_ratio(name)
    money = with_currency and "monetary" in kinds and not ratio and not _COUNT.search(name.lower())
    summed = not ratio and (sql_type.startswith(("numeric", "double")) or _sums_up(name, sql_type))
    return replace(
        result,
        ttype="monetary" if money else kinds[0],
        role=role or "value",
        aggregation="sum" if summed and not role else "none",
        index=sql_type == "date" and name.lower() in ("month", "date", "day"),
    )


def _sums_up(name: str, sql_type: str) -> bool:
    return sql_type in _INTEGERS.values() and bool(_COUNT.search(name.lower()))
