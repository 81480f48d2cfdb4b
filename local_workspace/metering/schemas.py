"""The ``system`` tables: columns and types as Databricks documents them.

Written from the public descriptions of the tables. A column that nothing here can fill is kept and
is null, so that a query written for the cloud finds it.
"""

from __future__ import annotations

import pyarrow as pa

TEXT = pa.string()
TIME = pa.timestamp("us", tz="UTC")
COUNT = pa.int64()
FLAG = pa.bool_()
AMOUNT = pa.decimal128(38, 18)
# Narrower than an amount: Sail 0.7.2 gives the product of two decimal(38,18) 36 decimals, so that
# a sum of costs beyond 100 would overflow without an error.
PRICE = pa.decimal128(18, 6)
TAGS = pa.map_(TEXT, TEXT)
TEXTS = pa.list_(TEXT)


def _texts(*names: str) -> pa.DataType:
    return pa.struct([(name, TEXT) for name in names])


_OWNER = [("account_id", TEXT), ("workspace_id", TEXT)]
_DURATIONS = [
    ("setup_duration_seconds", COUNT),
    ("cleanup_duration_seconds", COUNT),
    ("execution_duration_seconds", COUNT),
]

USAGE_METADATA = _texts(
    "cluster_id", "warehouse_id", "instance_pool_id", "node_type", "job_id", "job_run_id",
    "job_name", "notebook_id", "notebook_path", "dlt_pipeline_id", "dlt_update_id",
    "dlt_maintenance_id", "run_name", "endpoint_name", "endpoint_id", "central_clean_room_id",
    "metastore_id", "app_id", "app_name", "source_region", "destination_region",
    "private_endpoint_name", "budget_policy_id",
)  # fmt: skip

USAGE = pa.schema(
    [
        ("record_id", TEXT),
        *_OWNER,
        ("sku_name", TEXT),
        ("cloud", TEXT),
        ("usage_start_time", TIME),
        ("usage_end_time", TIME),
        ("usage_date", pa.date32()),
        ("custom_tags", TAGS),
        ("usage_unit", TEXT),
        ("usage_quantity", AMOUNT),
        ("usage_metadata", USAGE_METADATA),
        ("identity_metadata", _texts("run_as", "created_by", "owned_by")),
        ("record_type", TEXT),
        ("ingestion_date", pa.date32()),
        ("billing_origin_product", TEXT),
        (
            "product_features",
            pa.struct(
                [
                    ("jobs_tier", TEXT),
                    ("sql_tier", TEXT),
                    ("dlt_tier", TEXT),
                    ("is_serverless", FLAG),
                    ("is_photon", FLAG),
                    ("serving_type", TEXT),
                    ("performance_target", TEXT),
                ]
            ),
        ),
        ("usage_type", TEXT),
    ]
)

_DEFAULT_PRICE = pa.struct([("default", PRICE)])
LIST_PRICES = pa.schema(
    [
        ("price_start_time", TIME),
        ("price_end_time", TIME),
        ("account_id", TEXT),
        ("sku_name", TEXT),
        ("cloud", TEXT),
        ("currency_code", TEXT),
        ("usage_unit", TEXT),
        (
            "pricing",
            pa.struct(
                [
                    ("default", PRICE),
                    ("promotional", _DEFAULT_PRICE),
                    ("effective_list", _DEFAULT_PRICE),
                ]
            ),
        ),
    ]
)

HISTORY = pa.schema(
    [
        *_OWNER,
        ("statement_id", TEXT),
        ("session_id", TEXT),
        ("execution_status", TEXT),
        ("compute", _texts("type", "cluster_id", "warehouse_id")),
        ("executed_by_user_id", TEXT),
        ("executed_by", TEXT),
        ("statement_text", TEXT),
        ("statement_type", TEXT),
        ("error_message", TEXT),
        ("client_application", TEXT),
        ("client_driver", TEXT),
        ("cache_origin_statement_id", TEXT),
        ("total_duration_ms", COUNT),
        ("waiting_for_compute_duration_ms", COUNT),
        ("waiting_at_capacity_duration_ms", COUNT),
        ("execution_duration_ms", COUNT),
        ("compilation_duration_ms", COUNT),
        ("total_task_duration_ms", COUNT),
        ("result_fetch_duration_ms", COUNT),
        ("start_time", TIME),
        ("end_time", TIME),
        ("update_time", TIME),
        ("read_partitions", COUNT),
        ("pruned_files", COUNT),
        ("read_files", COUNT),
        ("read_rows", COUNT),
        ("produced_rows", COUNT),
        ("read_bytes", COUNT),
        ("read_io_cache_percent", pa.int32()),
        ("from_result_cache", FLAG),
        ("spilled_local_bytes", COUNT),
        ("written_bytes", COUNT),
        ("shuffle_read_bytes", COUNT),
    ]
)

JOBS = pa.schema(
    [
        *_OWNER,
        ("job_id", TEXT),
        ("name", TEXT),
        ("description", TEXT),
        ("creator_id", TEXT),
        ("tags", TAGS),
        ("change_time", TIME),
        ("delete_time", TIME),
        ("run_as", TEXT),
    ]
)

JOB_RUNS = pa.schema(
    [
        *_OWNER,
        ("job_id", TEXT),
        ("run_id", TEXT),
        ("period_start_time", TIME),
        ("period_end_time", TIME),
        ("trigger_type", TEXT),
        ("run_type", TEXT),
        ("run_name", TEXT),
        ("compute_ids", TEXTS),
        ("result_state", TEXT),
        ("termination_code", TEXT),
        ("job_parameters", TAGS),
        ("queue_duration_seconds", COUNT),
        ("run_duration_seconds", COUNT),
        *_DURATIONS,
    ]
)

TASK_RUNS = pa.schema(
    [
        *_OWNER,
        ("job_id", TEXT),
        ("run_id", TEXT),
        ("job_run_id", TEXT),
        ("parent_run_id", TEXT),
        ("period_start_time", TIME),
        ("period_end_time", TIME),
        ("task_key", TEXT),
        ("compute_ids", TEXTS),
        ("result_state", TEXT),
        ("termination_code", TEXT),
        *_DURATIONS,
    ]
)

PIPELINES = pa.schema(
    [
        *_OWNER,
        ("pipeline_id", TEXT),
        ("pipeline_type", TEXT),
        ("name", TEXT),
        ("created_by", TEXT),
        ("run_as", TEXT),
        ("tags", TAGS),
        (
            "settings",
            pa.struct(
                [
                    ("photon", FLAG),
                    ("development", FLAG),
                    ("continuous", FLAG),
                    ("serverless", FLAG),
                    ("edition", TEXT),
                    ("channel", TEXT),
                ]
            ),
        ),
        ("configuration", TAGS),
        ("change_time", TIME),
        ("delete_time", TIME),
        ("create_time", TIME),
    ]
)

UPDATES = pa.schema(
    [
        *_OWNER,
        ("pipeline_id", TEXT),
        ("update_id", TEXT),
        ("update_type", TEXT),
        ("request_id", TEXT),
        ("run_as_user_name", TEXT),
        ("trigger_type", TEXT),
        ("result_state", TEXT),
        ("compute", _texts("type", "cluster_id")),
        ("period_start_time", TIME),
        ("period_end_time", TIME),
        ("refresh_selection", TEXTS),
        ("full_refresh_selection", TEXTS),
    ]
)

TABLES = {
    "billing.usage": USAGE,
    "billing.list_prices": LIST_PRICES,
    "query.history": HISTORY,
    "lakeflow.jobs": JOBS,
    "lakeflow.job_run_timeline": JOB_RUNS,
    "lakeflow.job_task_run_timeline": TASK_RUNS,
    "lakeflow.pipelines": PIPELINES,
    "lakeflow.pipeline_update_timeline": UPDATES,
}


# A table that is written as a whole, when something in it changes.
REPLACED = ("billing.list_prices",)


def to_arrow(target: str, bodies: list[dict]) -> pa.Table:
    """Rows from the outbox: a time is milliseconds, an amount text, a date days since 1970."""
    schema = TABLES[target]
    columns = []
    for field in schema:
        values = [body.get(field.name) for body in bodies]
        columns.append(_column(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _column(values: list, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array([v * 1000 if v is not None else None for v in values], kind)
    if pa.types.is_decimal(kind):
        return pa.array(values, TEXT).cast(kind)
    if pa.types.is_map(kind):
        return pa.array([list(v.items()) if v is not None else None for v in values], kind)
    if pa.types.is_struct(kind):
        missing = pa.array([value is None for value in values], pa.bool_())
        parts = [
            _column([(value or {}).get(field.name) for value in values], field.type)
            for field in kind
        ]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=missing)
    return pa.array(values, kind)
