"""From an Odoo domain to a WHERE clause of Databricks SQL with typed named parameters.

The rows found are those that Odoo 17.0 finds on the same rows in PostgreSQL (a database as Odoo
makes it: collation C, a UTF-8 character type, no unaccent). Fields and operators are allow-listed,
identifiers are checked and quoted, and no value is ever part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .domain import AND, DomainError, Leaf, Token, tokens
from .domain_values import ABOVE, Bound, bound, check_kind, decimal_scale, text
from .sql_types import Typed

__all__ = ["Condition", "DomainError", "Field", "limit", "order_by", "quoted", "where"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ORDER = re.compile(r"\s*(\w+)(?:\s+(asc|desc))?(?:\s+nulls\s+(first|last))?\s*", re.IGNORECASE)
_EQUALITY = ("=", "!=", "in", "not in")
_COMPARISON = ("<", "<=", ">", ">=")
_PATTERN = ("like", "not like", "ilike", "not ilike", "=like", "=ilike")
# kinds whose text is the same in Odoo's PostgreSQL and in the warehouse
_TEXT_LIKE = ("text", "integer", "date")
_UNKNOWN = "CAST(NULL AS BOOLEAN)"
MAX_VALUES = 2000
MAX_LIMIT = 100_000


@dataclass(frozen=True)
class Field:
    """A field that may be asked for. `digits`: Odoo rounds values of this number field so."""

    column: str
    kind: str
    digits: int | None = None

    def __post_init__(self) -> None:
        check_kind(self.kind)
        quoted(self.column)


@dataclass
class Condition:
    """`text` goes after WHERE; `parameters` are those of lib.sql.submit()."""

    text: str
    parameters: dict[str, Any] = field(default_factory=dict)


def quoted(name: str) -> str:
    """The identifier in back-quotes. Raises DomainError unless it is a plain name."""
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise DomainError(f"{name!r} is no column name: letters, digits and underscores only")
    return f"`{name}`"


def where(domain: Sequence[Any], fields: Mapping[str, Field], prefix: str = "p") -> Condition:
    """Compile a domain over `fields` (Odoo field name -> Field). Parameters: <prefix>0, ...

    Raises DomainError, which names the field, the operator or the value, and what is allowed.
    """
    compiler = _Compiler(fields, prefix)
    return Condition(compiler.text(tokens(domain)), compiler.parameters)


def order_by(order: str, fields: Mapping[str, Field], key: str) -> str:
    """What goes after ORDER BY, from Odoo's "name desc, month"; the column `key` breaks ties.

    Rows without a value come where PostgreSQL puts them: last if ascending, first if descending.
    """
    parts = []
    for part in filter(None, (order or "").split(",")):
        match = _ORDER.fullmatch(part)
        if not match:
            raise DomainError(f"{part.strip()!r} is no order; write a field, then asc or desc")
        column = _known(match[1], fields).column
        descending = (match[2] or "").lower() == "desc"
        nulls = (match[3] or ("first" if descending else "last")).upper()
        parts.append(f"{quoted(column)} {'DESC' if descending else 'ASC'} NULLS {nulls}")
    return ", ".join([*parts, f"{quoted(key)} ASC NULLS LAST"])


def limit(rows: int) -> str:
    if isinstance(rows, bool) or not isinstance(rows, int) or not 0 < rows <= MAX_LIMIT:
        raise DomainError(f"a limit is a whole number from 1 to {MAX_LIMIT}, not {rows!r}")
    return f"LIMIT {rows}"


def _known(name: str, fields: Mapping[str, Field]) -> Field:
    found = fields.get(name)
    if found is None:
        why = "paths through other records cannot" if "." in name else "this field cannot"
        raise DomainError(
            f"{name}: {why} be asked of the warehouse; these can: {', '.join(sorted(fields))}"
        )
    return found


class _Compiler:
    def __init__(self, fields: Mapping[str, Field], prefix: str) -> None:
        if not _IDENTIFIER.fullmatch(prefix):
            raise DomainError(f"{prefix!r} is no name of a parameter")
        self.fields = fields
        self.prefix = prefix
        self.parameters: dict[str, Any] = {}

    def text(self, found: Sequence[Token]) -> str:
        # (joined by, parts): neighbours that are joined alike share one pair of brackets
        stack: list[tuple[str, list[str]]] = []
        for token in reversed(found):
            if isinstance(token, bool):
                stack.append(("", ["TRUE" if token else "FALSE"]))
            elif isinstance(token, Leaf):
                stack.append(("", [self._leaf(token)]))
            else:
                word = " AND " if token == AND else " OR "
                stack.append((word, _parts(stack.pop(), word) + _parts(stack.pop(), word)))
        return _joined(stack.pop())

    def _leaf(self, raw: Leaf) -> str:
        leaf = raw.normalised()
        known = _known(leaf.field, self.fields)
        try:
            condition = self._condition(known, leaf.operator, leaf.value)
        except DomainError as error:
            raise DomainError(f"{leaf.field} {leaf.operator}: {error}") from None
        return f"NOT ({condition})" if leaf.inverted else condition

    def _condition(self, known: Field, operator: str, value: Any) -> str:
        column = quoted(known.column)
        if operator in ("in", "not in"):
            return self._membership(known, column, operator, value)
        if isinstance(value, (list, tuple, set, dict)):
            raise DomainError("one value is wanted, not several; in and not in take a list")
        if operator in _PATTERN:
            return self._pattern(known, column, operator, value)
        if operator in _COMPARISON:
            return self._comparison(column, operator, bound(*_typed(known, value, operator)))
        return self._equality(known, column, operator, value)

    def _equality(self, known: Field, column: str, operator: str, value: Any) -> str:
        equal = operator == "="
        if known.kind == "boolean" and isinstance(value, bool):
            if value is equal:
                return f"({column} = TRUE)"
            return f"({column} IS NULL OR {column} = FALSE)"
        if value is None or value is False:
            return f"{column} IS NULL" if equal else f"{column} IS NOT NULL"
        found = bound(*_typed(known, value, operator))
        if isinstance(found, str):  # a value that no row can have
            return "FALSE" if equal else "TRUE"
        if equal:
            return f"({column} = {self._parameter(found)})"
        # so does Odoo: rows without a value differ from 5 and from 'a', but not from 0 and ''
        rest = f" OR {column} IS NULL" if value else ""
        return f"({column} <> {self._parameter(found)}{rest})"

    def _comparison(self, column: str, operator: str, found: Bound) -> str:
        if found is None:
            return _UNKNOWN
        if isinstance(found, Typed):
            return f"({column} {operator} {self._parameter(found)})"
        holds = (found == ABOVE) == (operator in ("<", "<="))
        return f"({column} IS NOT NULL)" if holds else "FALSE"

    def _membership(self, known: Field, column: str, operator: str, values: Any) -> str:
        if not isinstance(values, (list, tuple)):
            raise DomainError("a list of values is wanted")
        if len(values) > MAX_VALUES:
            raise DomainError(f"the list has more than {MAX_VALUES} values")
        if known.kind == "boolean":
            given = [value for value in (True, False) if value in values]
            with_empty = False in values
        else:
            given = [value for value in values if value is not None and value is not False]
            with_empty = len(given) < len(values)
        found = [bound(*_typed(known, value, operator)) for value in given]
        markers = [self._parameter(item) for item in found if isinstance(item, Typed)]
        inside = operator == "in"
        if markers:
            word = "IN" if inside else "NOT IN"
            condition = f"{column} {word} ({', '.join(markers)})"
        else:
            condition = "FALSE" if inside else "TRUE"
        if inside == with_empty:
            return f"({condition} OR {column} IS NULL)"
        return f"({condition})" if inside else f"({condition} AND {column} IS NOT NULL)"

    def _pattern(self, known: Field, column: str, operator: str, value: Any) -> str:
        scale = decimal_scale(known.kind)
        exact = operator.startswith("=")
        # a warehouse writes decimals of more than six places with an exponent
        alike = known.kind in _TEXT_LIKE or (scale is not None and scale[1] <= 6)
        if not alike or (exact and known.kind != "text"):
            raise DomainError(
                f"a {known.kind} column is not compared as text; allowed are "
                + " ".join(_EQUALITY + _COMPARISON)
            )
        if exact and (value is None or value is False):
            return _UNKNOWN
        shown = column if known.kind == "text" else f"CAST({column} AS STRING)"
        pattern = text(value) if exact else f"%{text(value)}%"
        if operator.endswith("ilike"):
            shown, pattern = f"lower({shown})", _lowered(pattern)
        marker = self._parameter(Typed("STRING", _checked_pattern(pattern)))
        negative = operator.startswith("not ")
        condition = f"{shown} {'NOT LIKE' if negative else 'LIKE'} {marker}"
        if not exact and (negative or not value):
            return f"({condition} OR {column} IS NULL)"
        return f"({condition})"

    def _parameter(self, value: Any) -> str:
        name = f"{self.prefix}{len(self.parameters)}"
        if len(self.parameters) >= MAX_VALUES:
            raise DomainError(f"the domain has more than {MAX_VALUES} values")
        self.parameters[name] = value
        return f":{name}"


def _typed(known: Field, value: Any, operator: str) -> tuple[str, Any, str, int | None]:
    return known.kind, value, operator, known.digits


def _parts(entry: tuple[str, list[str]], word: str) -> list[str]:
    return entry[1] if entry[0] == word else [_joined(entry)]


def _joined(entry: tuple[str, list[str]]) -> str:
    word, parts = entry
    return f"({word.join(parts)})" if len(parts) > 1 else parts[0]


def _lowered(pattern: str) -> str:
    """Each character's small form; those that would become several stay as they are."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in pattern)


def _checked_pattern(pattern: str) -> str:
    r"""The same pattern with a backslash before \ % and _ only, which is all that Spark takes."""
    result, chars = [], iter(pattern)
    for char in chars:
        if char == "\\":
            escaped = next(chars, None)
            if escaped is None:
                raise DomainError("a pattern must not end with a backslash that escapes nothing")
            char = f"\\{escaped}" if escaped in "\\%_" else escaped
        result.append(char)
    return "".join(result)
