"""An Odoo domain as a checked list of tokens: every '&' written out, every '!' inside its leaf.

The meaning is that of Odoo 17.0 (`osv/expression.py`). A negation is not an SQL NOT: it turns the
operator round, so that for example ``! (x = 1)`` takes the rows without x, as ``x != 1`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

AND, OR, NOT = "&", "|", "!"
_OPERANDS = {AND: 2, OR: 2, NOT: 1}
_OPPOSITE = {AND: OR, OR: AND}
_OPPOSITE_OPERATOR = {
    "=": "!=",
    "<": ">=",
    ">": "<=",
    "in": "not in",
    "like": "not like",
    "ilike": "not ilike",
}
_OPPOSITE_OPERATOR |= {value: key for key, value in _OPPOSITE_OPERATOR.items()}
OPERATORS = (
    *("=", "!=", "<>", "<", "<=", ">", ">=", "in", "not in"),
    *("like", "not like", "ilike", "not ilike", "=like", "=ilike"),
)
MAX_LEAVES = 1000


class DomainError(ValueError):
    """The domain cannot be asked of the warehouse; the text says which part, why, what can."""


@dataclass(frozen=True)
class Leaf:
    """One condition. `inverted`: its operator has no opposite, so that it stands under NOT."""

    field: str
    operator: str
    value: Any
    inverted: bool = False

    def negated(self) -> Leaf:
        opposite = _OPPOSITE_OPERATOR.get(self.operator)
        if opposite:
            return replace(self, operator=opposite)
        return replace(self, inverted=not self.inverted)

    def normalised(self) -> Leaf:
        """With the one operator that fits the value, as Odoo corrects old spellings."""
        operator, value = self.operator, self.value
        if operator == "<>":
            operator = "!="
        if isinstance(value, bool):
            operator = {"in": "=", "not in": "!="}.get(operator, operator)
        elif isinstance(value, (list, tuple)):
            operator = {"=": "in", "!=": "not in"}.get(operator, operator)
        return replace(self, operator=operator)


# '&' and '|' stand before their two operands; True and False are leaves that hold always or never
Token = str | bool | Leaf


def tokens(domain: Sequence[Any]) -> list[Token]:
    """The normalised tokens of a domain. Raises DomainError for anything that is not one."""
    if not isinstance(domain, (list, tuple)):
        raise DomainError(f"a domain is a list of conditions, not {type(domain).__name__}")
    found = [_token(item) for item in domain] or [True]
    if sum(not isinstance(token, str) for token in found) > MAX_LEAVES:
        raise DomainError(f"the domain has more than {MAX_LEAVES} conditions; narrow the selection")
    return _without_not([AND] * (_roots(found) - 1) + found)


def conjunction(*domains: Sequence[Any]) -> list[Any]:
    """All the domains together, as one expression. Raises DomainError."""
    parts = [list(domain) for domain in domains if domain]
    wholes = [[AND] * (_roots([_token(item) for item in part]) - 1) + part for part in parts]
    return [AND] * (len(wholes) - 1) + sum(wholes, [])


def _token(item: Any) -> Token:
    if isinstance(item, str):
        if item not in _OPERANDS:
            raise DomainError(f"{item!r} is no operator of a domain; & | and ! are")
        return item
    if not isinstance(item, (list, tuple)) or len(item) != 3:
        raise DomainError(f"{item!r} is no condition; write (field, operator, value)")
    field, operator, value = item
    if operator == "=" and value == 1 and field in (0, 1):
        return bool(field)
    if not isinstance(field, str) or not field:
        raise DomainError(f"{field!r} is no field name in the condition {tuple(item)!r}")
    if operator not in OPERATORS:
        raise DomainError(
            f"{field}: the operator {operator!r} cannot be asked of the warehouse; "
            f"allowed are {' '.join(map(repr, OPERATORS))}"
        )
    return Leaf(field, operator, value)


def _roots(found: Sequence[Token]) -> int:
    """How many complete expressions stand side by side: they are joined by '&'."""
    complete = 0
    for token in reversed(found):
        operands = _OPERANDS[token] if isinstance(token, str) else 0
        if complete < operands:
            raise DomainError(f"the operator {token!r} of the domain lacks a condition")
        complete += 1 - operands
    return complete


def _without_not(found: Sequence[Token]) -> list[Token]:
    result: list[Token] = []
    pending = [False]  # for each expression to come: is it to be negated?
    for token in found:
        negate = pending.pop()
        if token == NOT and isinstance(token, str):
            pending.append(not negate)
        elif isinstance(token, str):
            result.append(_OPPOSITE[token] if negate else token)
            pending += [negate, negate]
        elif isinstance(token, bool):
            result.append(token is not negate)
        else:
            result.append(token.negated() if negate else token)
    return result
