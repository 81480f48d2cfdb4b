"""The status page: what a person looks at first."""

from __future__ import annotations

import json
import time as clock
from collections import defaultdict
from decimal import Decimal

from .. import __version__
from ..clock import now_ms
from ..engine.delta_log import newest_version
from ..pipelines.views import state_view
from .html import Html, facts, join, link, page, seconds, section, state, table, tag, time
from .table_pages import last_change

BASE = "/_local/status"
LATEST = 15
USAGE_DAYS = 7
MOST_TABLES = 200
_SECTIONS = ("endpoints", "runs", "statements", "pipelines", "models", "tables", "usage")


def header(title: str = "Local workspace") -> Html:
    """What stands above every page."""
    links = join(link(f"{BASE}#{name}", name.capitalize()) for name in _SECTIONS)
    leave = tag("form", tag("button", "Sign out"), method="post", action=f"{BASE}/leave")
    heading = tag("h1", link(BASE, "Local workspace") if title else "")
    return tag("header", heading, tag("nav", links), leave)


def render(services, endpoints: Html) -> Html:
    """The whole page; it reads much, so it is not for the event loop."""
    return page(
        "Local workspace",
        header(),
        _workspace(services),
        endpoints,
        _runs(services),
        _statements(services),
        _pipelines(services),
        _models(services),
        _tables(services),
        _usage(services),
    )


def _workspace(services) -> Html:
    engine = services.engine.process.pid
    mlflow = f"running, process {services.mlflow.pid}" if services.mlflow.pid else "at rest"
    warehouses = join(
        join(
            (
                warehouse.name,
                " ",
                state("UP" if warehouse.state == "RUNNING" else warehouse.state),
                " ",
            )
        )
        for warehouse in services.warehouses.all()
    )
    up = int(clock.monotonic() - services.started)
    return facts(
        [
            ("Address", services.settings.host),
            ("Workspace id", services.org_id),
            ("Version", f"{__version__}, up for {up // 3600} h {up // 60 % 60} min"),
            ("SQL engine", join((state("UP" if engine else "DOWN"), f" process {engine or '-'}"))),
            ("Warehouses", warehouses),
            ("MLflow", mlflow),
            ("Now", join((time(now_ms()), " UTC"))),
        ]
    )


def endpoints_section(services) -> Html:
    """Runs on the event loop, to which the endpoints belong."""
    rows = []
    for endpoint in services.endpoints.all():
        view = endpoint.view()
        config = view.get("config") or view.get("pending_config") or {}
        routes = {
            route["served_model_name"]: route["traffic_percentage"]
            for route in (config.get("traffic_config") or {}).get("routes", [])
        }
        models = [
            tag("div", f"{e['entity_name']} v{e['entity_version']} · {routes.get(e['name'], 0)} %")
            for e in config.get("served_entities", [])
        ]
        rows.append(
            [
                link(f"{BASE}/endpoints/{view['name']}", view["name"]),
                state(view["state"]["ready"]),
                view["state"]["config_update"],
                join(models),
                time(view["last_updated_timestamp"]),
            ]
        )
    columns = [("Endpoint", ""), ("State", ""), ("Update", "wide"), ("Serves", ""),
               ("Changed", "time wide")]  # fmt: skip
    return section("endpoints", "Serving endpoints", table(columns, rows))


def _runs(services) -> Html:
    rows = []
    for run in services.run_store.list(limit=LATEST):
        view = services.run_views.run(run, expand=False)
        result = view["state"].get("result_state") or view["state"]["life_cycle_state"]
        rows.append(
            [
                link(view["run_page_url"], view["run_name"] or f"run {view['run_id']}"),
                state(result),
                time(view["start_time"]),
                seconds(view["run_duration"]) if view["end_time"] else "",
                view["trigger"],
                view["creator_user_name"],
                view["run_id"],
            ]
        )
    columns = [("Run, with its log", ""), ("State", ""), ("Started", "time"),
               ("Time", "figure wide"), ("Cause", "wide"), ("By", "wide"),
               ("Run id", "figure wide")]  # fmt: skip
    return section("runs", "Job runs", table(columns, rows), f"the last {LATEST}")


def _statements(services) -> Html:
    rows = []
    found = services.store.rows(
        "SELECT sql, state, error, made_ms, ended_ms, rows_produced, user FROM statements"
        " ORDER BY number DESC LIMIT ?",
        LATEST,
    )
    for row in found:
        failed = json.loads(row["error"])["message"] if row["error"] else None
        detail = [tag("pre", row["sql"]), tag("pre", failed, class_="bad") if failed else ""]
        shown = tag("summary", tag("code", _short(row["sql"])))
        rows.append(
            [
                tag("details", shown, *detail),
                state(row["state"]),
                time(row["made_ms"]),
                seconds(row["ended_ms"] - row["made_ms"]) if row["ended_ms"] else "",
                row["rows_produced"],
                row["user"],
            ]
        )
    columns = [("Statement", ""), ("State", ""), ("Asked", "time"), ("Time", "figure wide"),
               ("Rows", "figure wide"), ("By", "wide")]  # fmt: skip
    return section("statements", "SQL statements", table(columns, rows), f"the last {LATEST}")


def _pipelines(services) -> Html:
    rows = []
    store = services.pipelines.store
    for pipeline in services.store.rows("SELECT * FROM pipelines ORDER BY number DESC"):
        updates = store.updates(pipeline["pipeline_id"], None, 1)
        view = state_view(pipeline, updates)
        latest = updates[0] if updates else None
        rows.append(
            [
                link(f"{BASE}/pipelines/{view['pipeline_id']}", view["name"]),
                state(view["state"]) if view["state"] != "IDLE" else "IDLE",
                state(latest["state"]) if latest else "",
                time(latest["created_ms"]) if latest else "",
                seconds(latest["ended_ms"] - latest["created_ms"])
                if latest and latest["ended_ms"]
                else "",
            ]
        )
    columns = [("Pipeline", ""), ("State", "wide"), ("Last update", ""), ("Started", "time"),
               ("Time", "figure")]  # fmt: skip
    return section("pipelines", "Pipelines", table(columns, rows))


def _models(services) -> Html:
    rows = []
    registry = services.registry
    for model in registry.all_models():
        versions = registry.versions(model["name"])
        aliases = registry.aliases(model["name"])
        named = join(
            tag("div", tag("code", alias), f" → version {number}")
            for alias, number in aliases.items()
        )
        rows.append(
            [
                model["name"],
                versions[-1]["version"] if versions else "",
                len(versions),
                named,
                model["description"],
                time(model["last_updated_time"]),
            ]
        )
    columns = [("Model", ""), ("Newest", "figure"), ("Versions", "figure wide"), ("Aliases", ""),
               ("Description", "wide"), ("Changed", "time wide")]  # fmt: skip
    return section("models", "Registered models", table(columns, rows))


def _tables(services) -> Html:
    rows = []
    found = services.engine.catalog.all_tables()
    for (catalog, schema, name), folder in list(found.items())[:MOST_TABLES]:
        version = newest_version(folder)
        moment, operation = last_change(folder, version)
        rows.append(
            [
                link(f"{BASE}/tables/{catalog}/{schema}/{name}", f"{catalog}.{schema}.{name}"),
                version,
                time(moment),
                operation,
            ]
        )
    columns = [("Table", ""), ("Version", "figure"), ("Changed", "time"), ("By", "wide")]
    more = len(found) - MOST_TABLES
    note = f"{more} more are not shown" if more > 0 else f"{len(found)} in all"
    return section("tables", "Tables", table(columns, rows), note)


def _usage(services) -> Html:
    """What the last days used and would cost; from the records, not from the tables."""
    since = now_ms() - USAGE_DAYS * 24 * 3_600_000
    rates = services.meter.rates
    prices = {sku.name: sku.prices for sku in rates.skus}
    sums: dict[tuple[str, str], list] = defaultdict(lambda: [0, 0, Decimal(0), Decimal(0)])
    for row in services.meter.since(since):
        quantity = Decimal(row["quantity"])
        period = next(
            (p for p in prices.get(row["sku_name"], ()) if p.holds(row["start_ms"])), None
        )
        sign = -1 if row["record_type"] == "RETRACTION" else 1
        figures = sums[row["product"], row["sku_name"]]
        figures[0] += 1
        figures[1] += sign * (row["end_ms"] - row["start_ms"])
        figures[2] += quantity
        figures[3] += quantity * period.amount if period else 0
    rows = [
        [product, sku, count, seconds(spent), f"{dbu:.4f}", f"{cost:.4f}"]
        for (product, sku), (count, spent, dbu, cost) in sorted(sums.items())
    ]
    columns = [("Product", ""), ("SKU", "wide"), ("Records", "figure wide"), ("Time", "figure"),
               ("DBU", "figure"), (f"{rates.currency}, simulated", "figure")]  # fmt: skip
    hint = tag(
        "p", "The prices are simulated: nobody is billed. In SQL: ",
        tag("code", "system.billing.usage"), " and ", tag("code", "system.billing.list_prices"),
        class_="note",
    )  # fmt: skip
    content = join((table(columns, rows), hint))
    return section("usage", "Usage", content, f"the last {USAGE_DAYS} days")


def _short(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= 90 else line[:87] + "..."
