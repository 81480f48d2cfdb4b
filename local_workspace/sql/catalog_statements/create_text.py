"""The CREATE TABLE statement that makes a table anew."""

from __future__ import annotations

from ...engine.catalog import CatalogError
from ...engine.sql_text import quote_name
from ...engine.table_info import Column, TableInfo


def create_table(table: TableInfo) -> str:
    """SQL text of a table. Raises CatalogError for a view."""
    if table.kind == "VIEW":
        text = f"SHOW CREATE TABLE is not possible for the view {table.full_name}."
        raise CatalogError("UNSUPPORTED_SHOW_CREATE_TABLE", "0A000", text)
    columns = ",\n".join(f"  {_column(column)}" for column in table.columns)
    parts = [f"CREATE TABLE {table.full_name} (\n{columns})", "USING delta"]
    if table.partition_columns:
        names = ", ".join(_name(column.name) for column in table.partition_columns)
        parts.append(f"PARTITIONED BY ({names})")
    if table.comment:
        parts.append(f"COMMENT {_literal(table.comment)}")
    if table.properties:
        pairs = [
            f"  {_literal(key)} = {_literal(value)}"
            for key, value in sorted(table.properties.items())
        ]
        parts.append("TBLPROPERTIES (\n" + ",\n".join(pairs) + ")")
    return "\n".join(parts) + "\n"


def _column(column: Column) -> str:
    text = f"{_name(column.name)} {column.type_text.upper()}"
    if not column.nullable:
        text += " NOT NULL"
    if column.generation:
        text += f" GENERATED ALWAYS AS ( {column.generation} )"
    if column.identity:
        start, step = column.identity
        free = column.field["metadata"].get("delta.identity.allowExplicitInsert")
        kind = "BY DEFAULT" if free else "ALWAYS"
        text += f" GENERATED {kind} AS IDENTITY (START WITH {start} INCREMENT BY {step})"
    if column.default:
        text += f" DEFAULT {column.default}"
    if column.comment:
        text += f" COMMENT {_literal(column.comment)}"
    return text


def _name(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else quote_name(name)


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
