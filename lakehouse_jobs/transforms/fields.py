"""The text fields of Bronze, made ready by the source contracts: constants, codes for words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ..contracts import FIELDS, SourceContract, SourceField

KEPT = ("source_file", "source_line", "source", "raw", "problem", "load_id", "loaded_at")
_SOME = ("company", "document_no", "document_date", "vendor_name", "description")


def text_fields(bronze: DataFrame, sources: Sequence[SourceContract]) -> DataFrame:
    """text_<field> for each of FIELDS, trimmed, null if empty, with the source's constants.

    `problem` becomes 'unreadable record' where a record says nothing at all.
    """
    columns = [_text(name, sources).alias(f"text_{name}") for name in FIELDS]
    frame = bronze.select(*KEPT, *columns)
    nothing = reduce(lambda a, b: a & b, [F.col(f"text_{name}").isNull() for name in _SOME])
    unreadable = F.when(nothing, F.lit("unreadable record"))
    return frame.withColumn("problem", F.coalesce(F.col("problem"), unreadable))


def field_of(source: SourceContract, name: str) -> SourceField:
    """The contract of one field in one source."""
    return next(field for field in source.fields if field.name == name)


def _text(name: str, sources: Sequence[SourceContract]) -> Column:
    trimmed = F.trim(F.col(f"text_{name}"))
    text = F.when(trimmed != "", trimmed)
    constants = {s.name: field_of(s, name).constant for s in sources}
    branches = [
        (F.col("source") == source, F.lit(constant))
        for source, constant in constants.items()
        if constant is not None
    ]
    return case(branches).otherwise(text) if branches else text


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
    """text_<name> through the value map of the row's source; without a map the text itself."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    plain: list[str] = []
    for source in sources:
        values = field_of(source, name).values
        if values is None:
            plain.append(source.name)
        else:
            groups.setdefault(values, []).append(source.name)
    text = F.col(f"text_{name}")
    if len(groups) == 1 and not plain:
        return mapped(text, next(iter(groups)))
    branches = [(F.col("source").isin(*names), mapped(text, v)) for v, names in groups.items()]
    if plain:
        branches.append((F.col("source").isin(*plain), text))
    return case(branches)
