"""Column definitions of ALTER TABLE ADD COLUMNS as fields of a Delta schema."""

from __future__ import annotations

from ...engine.interface import EngineError
from ...engine.sail_guard import refusal
from ..words import Words

_PLAIN = {
    "BIGINT": "long", "LONG": "long", "INT": "integer", "INTEGER": "integer", "SMALLINT": "short",
    "SHORT": "short", "TINYINT": "byte", "BYTE": "byte", "FLOAT": "float", "REAL": "float",
    "DOUBLE": "double", "STRING": "string", "BINARY": "binary", "BOOLEAN": "boolean",
    "DATE": "date", "TIMESTAMP": "timestamp", "TIMESTAMP_LTZ": "timestamp",
    "TIMESTAMP_NTZ": "timestamp_ntz",
}  # fmt: skip
_DECIMAL = ("DECIMAL", "DEC", "NUMERIC")


def column_list(words: Words) -> list[dict]:
    """Fields of ``(name type [COMMENT 'text'], ...)``; the brackets may be left out.

    Raises EngineError for what is no column definition or cannot be added to a table.
    """
    bracket = words.take("(")
    fields = [_column(words)]
    while words.take(","):
        fields.append(_column(words))
    if bracket:
        words.expect(")")
    return fields


def _column(words: Words) -> dict:
    field = _field(words, words.name(most=1)[0])
    if not field["nullable"]:
        raise refusal("ALTER TABLE ADD COLUMNS with NOT NULL: rows that exist have no value")
    for word in ("FIRST", "AFTER", "DEFAULT", "GENERATED"):
        if words.next.word == word:
            raise refusal(f"ALTER TABLE ADD COLUMNS with {word}")
    return field


def _field(words: Words, name: str) -> dict:
    field = {"name": name, "type": _type(words), "nullable": True, "metadata": {}}
    if words.take("NOT", "NULL"):
        field["nullable"] = False
    if words.take("COMMENT"):
        field["metadata"]["comment"] = words.string()
    return field


def _type(words: Words) -> str | dict:
    name = words.next.word
    if not name:
        raise words.wrong()
    words.at += 1
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _DECIMAL:
        return _decimal(words)
    if name == "ARRAY":
        words.expect("<")
        inner = _type(words)
        words.expect(">")
        return {"type": "array", "elementType": inner, "containsNull": True}
    if name == "MAP":
        words.expect("<")
        key = _type(words)
        words.expect(",")
        value = _type(words)
        words.expect(">")
        return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}
    if name == "STRUCT":
        return _struct(words)
    text = f'[UNSUPPORTED_DATATYPE] Unsupported data type "{name}". SQLSTATE: 0A000'
    raise EngineError(text, "UNSUPPORTED_DATATYPE", "0A000")


def _decimal(words: Words) -> str:
    precision, scale = 10, 0
    if words.take("("):
        precision = words.number()
        scale = words.number() if words.take(",") else 0
        words.expect(")")
    if not 1 <= precision <= 38 or scale > precision:
        raise words.wrong()
    return f"decimal({precision},{scale})"


def _struct(words: Words) -> dict:
    words.expect("<")
    fields = []
    while not words.take(">"):
        name = words.name(most=1)[0]
        words.take(":")
        fields.append(_field(words, name))
        if not words.take(",") and words.next.text != ">":
            raise words.wrong()
    return {"type": "struct", "fields": fields}
