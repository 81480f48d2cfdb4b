"""Reading statements about the catalog: whatever the text, it is understood or refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_workspace.engine.catalog import Catalog, CatalogError
from local_workspace.engine.interface import EngineError
from local_workspace.engine.sql_text import SqlTextError, Statement
from local_workspace.sql.catalog_statements.context import Context
from local_workspace.sql.catalog_statements.patterns import like, sql_like
from local_workspace.sql.front import _HERE
from local_workspace.sql.words import Words, string_value
from local_workspace.store import Store
from local_workspace.unity.objects import Objects

WORDS = [
    "IN", "FROM", "LIKE", "CATALOG", "CATALOGS", "ALL", "SCHEMA", "SCHEMAS", "TABLE", "TABLES",
    "COLUMNS", "COLUMN", "VIEWS", "CREATE", "TBLPROPERTIES", "EXTENDED", "HISTORY", "DETAIL", "IF",
    "NOT", "EXISTS", "OR", "REPLACE", "ADD", "COMMENT", "VERSION", "TIMESTAMP", "AS", "OF", "TO",
    "ZORDER", "BY", "RETAIN", "HOURS", "DRY", "RUN", "LIMIT", "TIME", "ZONE", "CASCADE", "NULL",
    "STRUCT", "ARRAY", "MAP", "DECIMAL", "INT", "main", "gold", "t", "`a b`", "`a``b`", "'x'",
    '"y"', "''", "r'z'", "7", "1e5", ".", ",", "(", ")", "<", ">", ":", "=", "*", "@", "v1",
    "\\x00",
]  # fmt: skip


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """A catalog with one schema, and no engine: nothing may be run while a text is read."""
    folder = tmp_path_factory.mktemp("catalog")
    (folder / "tables" / "main" / "gold").mkdir(parents=True)
    (folder / "volumes").mkdir()
    catalog = Catalog(folder / "tables", "main")
    objects = Objects(Store(folder / "workspace.db"), catalog, folder / "volumes")
    return Context(None, objects, None, None, "main", "gold", "somebody")


@given(st.sampled_from(sorted(_HERE)), st.lists(st.sampled_from(WORDS), max_size=9))
@settings(max_examples=2000, deadline=None)
def test_any_words_are_understood_or_refused(context, verb, words):
    try:
        answer = _HERE[verb](Words(Statement(" ".join([verb, *words]))), context)
        assert answer is None or callable(answer)
    except (EngineError, CatalogError, SqlTextError) as error:
        assert str(error)


@given(st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_pattern_is_a_pattern(text):
    for pattern in (like(text), sql_like(text)):
        assert pattern("name") in (True, False)


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("a*", ["a", "abc", "ABC"], ["ba"]),
        ("a%", ["a", "abc"], ["ba"]),
        ("a.c", ["abc"], ["ac", "abbc"]),
        ("a|b*", ["a", "bcd"], ["ab"]),
        (r"a\.c", ["a.c"], ["abc"]),
        ("", [""], ["a"]),
    ],
)
def test_patterns_of_show(pattern, fitting, other):
    assert all(like(pattern)(name) for name in fitting)
    assert not any(like(pattern)(name) for name in other)


def test_patterns_of_like():
    assert sql_like("a_c%")("ABCdef") and not sql_like("a_c")("ac")
    assert sql_like(r"a\_c")("a_c") and not sql_like(r"a\_c")("abc")
    assert sql_like(None)("x") and sql_like("")("x") and sql_like("*")("x")


@pytest.mark.parametrize(
    ("literal", "value"),
    [("'a''b'", "a'b"), (r"'a\'b'", "a'b"), (r"'a\nb'", "a\nb"), (r"'50\%'", r"50\%"),
     ("r'a\\b'", "a\\b"), ('"a\'b"', "a'b")],
)  # fmt: skip
def test_literals(literal, value):
    assert string_value(Statement(literal).tokens[0]) == value
