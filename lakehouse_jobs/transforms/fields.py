"""From the raw JSON text of any source to one set of text fields, by the source contracts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from ..contracts import FIELDS, SourceContract

_KEPT = ("source_file", "source_line", "source", "raw", "problem", "load_id", "loaded_at")


def text_fields(bronze: DataFrame, sources: Sequence[SourceContract]) -> DataFrame:
    """Adds text_<field> for each of FIELDS: trimmed, null if empty or not in the source.

    `problem` becomes 'unreadable record' where no header of the source has a value.
    """
    headers = sorted({header for source in sources for header in source.headers})
    # One schema of all headers: one parse, whatever mix of sources the frame holds. The names go
    # by position, because dots and blanks in a header mean something else in a column name.
    schema = T.StructType([T.StructField(header, T.StringType()) for header in headers])
    parsed = bronze.select(
        *_KEPT, F.from_json(_exact_numbers(F.col("raw"), sources), schema).alias("record")
    )
    columns = [_field(field, sources).alias(f"text_{field}") for field in FIELDS]
    return parsed.select(*_KEPT, *columns).withColumn("problem", _problem(sources))


def _exact_numbers(raw: Column, sources: Sequence[SourceContract]) -> Column:
    """Quotes the JSON numbers whose digits count; engines print a number in their own way."""
    for source in sources:
        keys = [h for field in source.fields if field.json_number for h in field.headers]
        if keys:
            pattern = rf'"({"|".join(map(re.escape, keys))})"\s*:\s*(-?[0-9][0-9.]*)'
            quoted = F.regexp_replace(raw, pattern, r'"$1":"$2"')
            raw = F.when(F.col("source") == source.name, quoted).otherwise(raw)
    return raw


def _clean(value: Column) -> Column:
    trimmed = F.trim(value)
    return F.when(trimmed != "", trimmed)


def _field(name: str, sources: Sequence[SourceContract]) -> Column:
    """The field's text; of several headers the first that has a value."""
    branches = []
    for source in sources:
        field = next(f for f in source.fields if f.name == name)
        if field.constant is not None:
            value = F.lit(field.constant)
        else:
            values = [F.col("record").getField(header) for header in field.headers]
            value = _clean(values[0] if len(values) == 1 else F.coalesce(*map(_clean, values)))
        branches.append((F.col("source") == source.name, value))
    return case(branches)


def case(branches: Sequence[tuple[Column, Column]]) -> Column:
    """CASE WHEN over (condition, value) pairs; null where none holds."""
    (condition, value), *rest = branches
    start = F.when(condition, value)
    return reduce(lambda column, branch: column.when(*branch), rest, start)


def mapped(text: Column, values: Sequence[tuple[str, str]]) -> Column:
    """The code of a written word, compared in lower case; null if it has none."""
    lowered = F.lower(text)
    by_code: dict[str, list[str]] = {}
    for word, code in values:
        by_code.setdefault(code, []).append(word)
    return case([(lowered.isin(*words), F.lit(code)) for code, words in by_code.items()])


def mapped_by_source(name: str, sources: Sequence[SourceContract]) -> Column:
    """text_<name> through the value map of the row's source."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    plain: list[str] = []
    for source in sources:
        field = next(f for f in source.fields if f.name == name)
        if field.values is None:
            plain.append(source.name)
        else:
            groups.setdefault(field.values, []).append(source.name)
    text = F.col(f"text_{name}")
    if len(groups) == 1 and not plain:
        return mapped(text, next(iter(groups)))
    branches = [(F.col("source").isin(*names), mapped(text, v)) for v, names in groups.items()]
    if plain:
        branches.append((F.col("source").isin(*plain), text))
    return case(branches)


def _problem(sources: Sequence[SourceContract]) -> Column:
    some = ("company", "document_no", "document_date", "vendor_name", "description")
    nothing = reduce(lambda a, b: a & b, [F.col(f"text_{name}").isNull() for name in some])
    return F.coalesce(F.col("problem"), F.when(nothing, F.lit("unreadable record")))
