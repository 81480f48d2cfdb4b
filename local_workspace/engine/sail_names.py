"""Names as Sail 0.7.2 wants them written.

Sail minds the letter case of catalogs, schemas and tables, keeps the catalog name ``system`` for
itself and knows time travel only as VERSION AS OF. A statement is rewritten before it is sent.
"""

from __future__ import annotations

import re

from .catalog import INFORMATION_SCHEMA, SYSTEM, Catalog
from .sql_text import Statement, Token

# Every session begins in a schema of this name, where nothing is ever made.
NOWHERE = "nowhere"
_SYSTEM_HERE = "workspace_system"
_BEFORE_TABLE = {"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "USING"}
_VERSION = re.compile(r"v(\d+)$", re.IGNORECASE)


def engine_catalog(catalog: str) -> str:
    """The name under which Sail knows a catalog."""
    return _SYSTEM_HERE if catalog == SYSTEM else catalog


def names_in(statement: Statement) -> set[str]:
    """All names that a rewritten statement holds, in lower case, as the workspace knows them."""
    found = {token.name.lower() for token in statement.tokens if token.kind in ("word", "quoted")}
    return {SYSTEM if name == _SYSTEM_HERE else name for name in found}


def workspace_text(text: str) -> str:
    """An error text of the engine with the catalog names that a user knows."""
    return text.replace(_SYSTEM_HERE, SYSTEM)


def for_engine(statement: Statement, catalog: Catalog, place: tuple[str, str]) -> Statement:
    """The statement with its table names written as the engine knows them.

    ``place`` is the (catalog, schema) in which names of fewer than three parts are looked up.
    """
    changes: dict[int, str] = {}
    schemas = set(catalog.all_schemas())
    schemas |= {(name, INFORMATION_SCHEMA) for name in catalog.catalogs()}
    for parts in _dotted_names(statement.tokens):
        names = [statement.tokens[at].name for at in parts]
        lowered = [name.lower() for name in names]
        if len(parts) >= 3 and tuple(lowered[:2]) in schemas:
            wanted = [engine_catalog(lowered[0]), *lowered[1:3]]
        elif len(parts) >= 2 and (place[0], lowered[0]) in schemas:
            wanted = lowered[:2] if _exists(catalog, place[0], *lowered[:2]) else []
        elif len(parts) == 1 and _is_table_place(statement, parts[0], names[0]):
            wanted = lowered if _exists(catalog, *place, lowered[0]) else []
        else:
            wanted = []
        for at, name, target in zip(parts, names, wanted, strict=False):
            if name != target:
                changes[at] = "`" + target.replace("`", "``") + "`"
        changes |= _time_travel(statement, parts[-1])
    return statement.replaced(changes) if changes else statement


def _dotted_names(tokens: list[Token]) -> list[list[int]]:
    """Positions of the parts of every dotted name."""
    found: list[list[int]] = []
    for at, token in enumerate(tokens):
        if token.kind not in ("word", "quoted"):
            continue
        follows_dot = at >= 2 and tokens[at - 1].text == "."
        if follows_dot and found and found[-1][-1] == at - 2:
            found[-1].append(at)
        else:
            found.append([at])
    return found


def _exists(catalog: Catalog, name: str, schema: str, table: str) -> bool:
    return schema == INFORMATION_SCHEMA or catalog.has_table(name, schema, table)


def _is_table_place(statement: Statement, at: int, name: str) -> bool:
    """Whether a bare name stands where a table does, and is no common table of the statement."""
    if at == 0 or statement.tokens[at - 1].word not in _BEFORE_TABLE:
        return False
    following = zip(statement.tokens, statement.tokens[1:], strict=False)
    return not any(a.name == name and b.word == "AS" and i != at for i, (a, b) in
                   enumerate(following))  # fmt: skip


def _time_travel(statement: Statement, at: int) -> dict[int, str]:
    """``t@v1`` as ``t VERSION AS OF 1``."""
    marks = statement.tokens[at + 1 : at + 3]
    if len(marks) < 2 or marks[0].text != "@":
        return {}
    version = _VERSION.match(marks[1].text)
    return {at + 1: " VERSION AS OF ", at + 2: version.group(1)} if version else {}
