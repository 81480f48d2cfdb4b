"""Expectations: the decorators that Databricks has and open-source Spark lacks, and their counts.

``dp.expect*`` stand below ``dp.table`` and the like; what they declare is kept on the function.
A row misses an expectation when its condition is false or null.
"""

from .errors import ExpectationViolation
from .sql_names import for_engine

ATTRIBUTE = "__pipeline_expectations__"
_ACTIONS = {"": "ALLOW", "_or_drop": "DROP", "_or_fail": "FAIL"}


def install(dp):
    """Add the decorators to the module ``pyspark.pipelines`` of this process."""
    for ending, action in _ACTIONS.items():
        setattr(dp, f"expect{ending}", _single(action))
        setattr(dp, f"expect_all{ending}", _several(action))


def _single(action):
    def expect(name, condition):
        return _declare([(name, condition, action)])

    return expect


def _several(action):
    def expect_all(expectations):
        return _declare([(name, text, action) for name, text in expectations.items()])

    return expect_all


def _declare(declared):
    def decorate(query):
        setattr(query, ATTRIBUTE, declared + list(getattr(query, ATTRIBUTE, ())))
        return query

    return decorate


def declared(query):
    """The expectations of a query function as (name, condition, action)."""
    return list(getattr(query, ATTRIBUTE, ()))


def _met(condition):
    from pyspark.sql import functions as F

    return F.coalesce(F.expr(for_engine(condition)), F.lit(False))


def measure(frame, dataset, expectations):
    """Counts over a frame: (dropped rows, one dictionary for each expectation).

    Raises ExpectationViolation when a row misses one whose action is FAIL.
    """
    from pyspark.sql import functions as F

    def missing(condition):
        return F.sum(F.when(condition, 0).otherwise(1).cast("bigint"))

    counts = [F.count(F.lit(1)).alias("rows")]
    counts += [missing(_met(text)).alias(f"e{at}") for at, (_, text, _) in enumerate(expectations)]
    counts.append(missing(_kept(expectations)).alias("dropped"))
    row = frame.agg(*counts).collect()[0]
    metrics, broken = [], {}
    for at, (name, _, action) in enumerate(expectations):
        failed = int(row[f"e{at}"] or 0)
        if failed and action == "FAIL":
            broken[name] = failed
        metrics.append(
            {
                "name": name,
                "dataset": dataset,
                "passed_records": int(row["rows"]) - failed,
                "failed_records": failed,
            }
        )
    if broken:
        raise ExpectationViolation(dataset, broken)
    return int(row["dropped"] or 0), metrics


def _kept(expectations):
    from pyspark.sql import functions as F

    condition = F.lit(True)
    for _, text, action in expectations:
        if action == "DROP":
            condition = condition & _met(text)
    return condition


def kept_rows(frame, expectations):
    """The frame without the rows that an expectation with action DROP takes out."""
    if not any(action == "DROP" for _, _, action in expectations):
        return frame
    return frame.where(_kept(expectations))
