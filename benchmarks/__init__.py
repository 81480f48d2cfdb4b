"""Measured comparisons, each against a named reference in the same run.

A benchmark is a module with `run() -> dict`; name it in BENCHMARKS and it has its place in
`python -m benchmarks` and `make bench`. A ratio is our cost divided by the reference's.
"""

BENCHMARKS = (
    "etl_1m",
    "arrow_fetch_1m",
    "statement_overhead",
    "workspace_memory",
    "view_refresh_1m",
    "serving",
)
