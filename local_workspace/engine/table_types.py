"""Types of columns in the words of those who ask: the Delta log, SQL, JDBC, Unity Catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SIMPLE = {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}


def sql_type(kind: str | dict) -> str:
    """Spark's type text for a type in the JSON of a Delta log."""
    if isinstance(kind, str):
        return _SIMPLE.get(kind, kind)
    if kind["type"] == "array":
        return f"array<{sql_type(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{sql_type(kind['keyType'])},{sql_type(kind['valueType'])}>"
    inner = ",".join(f"{field['name']}:{sql_type(field['type'])}" for field in kind["fields"])
    return f"struct<{inner}>"


@dataclass(frozen=True)
class TypeFacts:
    """What is said of a type beside its text.

    ``name`` is Unity Catalog's (LONG for bigint), ``code`` java.sql.Types', ``size``, ``digits``
    and ``radix`` JDBC's, ``bits`` the precision that information_schema gives a binary number.
    """

    name: str
    code: int
    size: int | None = None
    digits: int | None = None
    radix: int | None = None
    bits: int | None = None


_FACTS = {
    "boolean": TypeFacts("BOOLEAN", 16, 1),
    "tinyint": TypeFacts("BYTE", -6, 1, 0, 10, 8),
    "smallint": TypeFacts("SHORT", 5, 2, 0, 10, 16),
    "int": TypeFacts("INT", 4, 4, 0, 10, 32),
    "bigint": TypeFacts("LONG", -5, 8, 0, 10, 64),
    "float": TypeFacts("FLOAT", 6, 4, 7, 10, 24),
    "double": TypeFacts("DOUBLE", 8, 8, 15, 10, 53),
    "string": TypeFacts("STRING", 12),
    "date": TypeFacts("DATE", 91, 4),
    "timestamp": TypeFacts("TIMESTAMP", 93, 8),
    "timestamp_ntz": TypeFacts("TIMESTAMP_NTZ", 93, 8),
    "binary": TypeFacts("BINARY", -2),
    "array": TypeFacts("ARRAY", 2003),
    "map": TypeFacts("MAP", 2000),
    "struct": TypeFacts("STRUCT", 2002),
    "void": TypeFacts("NULL", 0),
    "variant": TypeFacts("VARIANT", 1111),
}
_OTHER = TypeFacts("USER_DEFINED_TYPE", 1111)


@lru_cache(1000)
def type_facts(type_text: str) -> TypeFacts:
    """Facts of a type by Spark's text for it; a decimal brings its own size and digits."""
    decimal = re.match(r"decimal\((\d+),(\d+)\)$", type_text)
    if decimal:
        return TypeFacts("DECIMAL", 3, int(decimal.group(1)), int(decimal.group(2)), 10)
    base = re.match(r"[a-z_]*", type_text.lower()).group()
    return _FACTS.get(base, _OTHER)
