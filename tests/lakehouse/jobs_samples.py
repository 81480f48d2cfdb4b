"""What the job tests build their lakehouses from: generated exports and hand-made ZIPs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deltalake import DeltaTable

from lakehouse_jobs import generator, reference, stages
from lakehouse_jobs.generator.export import write_zip
from lakehouse_jobs.lakehouse import Lakehouse

OPTIONS = generator.Options(seed=7, companies=3, months=3, lines=2400)


@dataclass
class Built:
    """A lakehouse, the folder of its exports and the reports of its three stages."""

    lake: Lakehouse
    exports: Path
    reports: dict[str, dict]

    def delta(self, table: str) -> DeltaTable:
        return DeltaTable(str(self.lake.path(table)))

    def rows(self, table: str) -> list[dict]:
        return self.delta(table).to_pyarrow_table().to_pylist()

    def versions(self) -> dict[str, int]:
        root = self.lake.tables_root
        logs = sorted(root.glob("*/*/*/_delta_log"))
        return {
            log.parent.relative_to(root).as_posix(): DeltaTable(str(log.parent)).version()
            for log in logs
        }

    def build(self) -> dict[str, dict]:
        self.reports = {
            "bronze": stages.ingest_bronze(self.lake, self.exports),
            "silver": stages.build_silver(self.lake, reference.payor_kinds()),
            "gold": stages.build_gold(self.lake),
        }
        return self.reports


def lake_in(spark, root: Path) -> Built:
    lake = Lakehouse(spark, tables_root=root / "tables", volumes_root=root / "volumes")
    exports = lake.volume("landing", "finance_exports")
    exports.mkdir(parents=True)
    return Built(lake, exports, {})


BILL = {
    "companyCode": "MAYON", "kind": "bill", "receiptNumber": "AP-1", "lineNumber": 1,
    "issuedAt": "2025-07-03T01:00:00Z", "merchant": "Kislap Trading Inc.",
    "merchantTin": "012-345-678-00000", "memo": "bond paper", "category": "Office Supplies",
    "paymentNature": "Goods", "currencyCode": "PHP", "total": 1120.0, "pricesIncludeTax": True,
    "taxType": "VATable",
}  # fmt: skip


def app_zip(path: Path, *records: dict) -> Path:
    """A ZIP of one JSON-lines member; each record is BILL with the given changes."""
    text = "".join(json.dumps(BILL | record) + "\n" for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_zip(path, [("ExpenseApp/lines.jsonl", text.encode())], datetime(2025, 7, 1))
    return path
