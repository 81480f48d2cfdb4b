"""Expectations of the contracts as pipeline expectations, where the runtime has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from ..contracts import Expectation

# Quarantined rows are split off by the transforms, so for the runtime they are only counted.
_DECORATORS = {
    "warn": "expect_all",
    "quarantine": "expect_all",
    "drop": "expect_all_or_drop",
    "fail": "expect_all_or_fail",
}


def expectations(dp: ModuleType, contract: Sequence[Expectation]) -> Callable[[Any], Any]:
    """Decorator that declares `contract` with `dp.expect_all*`.

    Databricks has these decorators, and so has the embedded workspace: both count them in the
    update's events. Open-source Spark has none: there it changes nothing, and the run's own
    checks and the quarantine stand alone.
    """
    by_decorator: dict[str, dict[str, str]] = {}
    for expectation in contract:
        conditions = by_decorator.setdefault(_DECORATORS[expectation.severity], {})
        conditions[expectation.name] = expectation.expression

    def declare(query: Any) -> Any:
        for name, conditions in by_decorator.items():
            decorator = getattr(dp, name, None)
            if decorator is not None:
                query = decorator(conditions)(query)
        return query

    return declare
