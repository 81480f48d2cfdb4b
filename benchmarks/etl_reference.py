"""The reference side of etl_1m: polars and delta-rs, in one process, the same work.

ZIPs are opened member by member; the raw record is kept as JSON text; each layer is a Delta table
read back by the next. Rules (VAT, thresholds, ATC rows) and word lists come from the same data.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake

from lakehouse_jobs.contracts import FIELDS, SourceContract, source_contracts
from lakehouse_jobs.reference import payor_kinds

from .etl_reference_gold import build_gold
from .etl_reference_silver import clean_of, conform, reasons_of, valid, warnings_of

NOW = datetime.now(UTC).replace(tzinfo=None)
LOAD = "load-1"
MEMBERS = {"ERP": "erp_register", "Books": "ph_books", "ExpenseApp": "expense_app"}
SOURCES = {source.name: source for source in source_contracts()}
TEXTS = [f"text_{name}" for name in FIELDS]
LIMIT = 1024 * 1024


def bronze(exports: Path, out: Path) -> None:
    """All members into main/bronze/finance_lines and the ledger."""
    frames, ledger = [], []
    for path in sorted(exports.rglob("*.zip")):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                source = SOURCES[MEMBERS[member.split("/")[0]]]
                read = _csv if source.format == "csv" else _jsonl
                frame = read(archive.read(member), source).with_columns(
                    source_file=pl.lit(f"{path.relative_to(exports)}!{member}"),
                    source_sha256=pl.lit(digest),
                    source=pl.lit(source.name),
                )
                frames.append(frame)
                ledger.append((str(path), member, digest, len(frame)))
    frame = pl.concat(frames).with_columns(
        problem=pl.lit(None, pl.String), load_id=pl.lit(LOAD), loaded_at=pl.lit(NOW)
    )
    if frame["raw"].str.len_bytes().max() > LIMIT:
        raise ValueError("a line over the limit")
    _write(out / "bronze/finance_lines", frame)
    files = pl.DataFrame(ledger, ["path", "member", "sha256", "row_count"], orient="row")
    _write(out / "bronze/load_files", files)


def _csv(content: bytes, source: SourceContract) -> pl.DataFrame:
    frame = pl.read_csv(content, infer_schema=False)
    raw = pl.struct(frame.columns).struct.json_encode()
    return _texts(frame.with_columns(raw=raw), source, first_line=2)


def _jsonl(content: bytes, source: SourceContract) -> pl.DataFrame:
    schema = dict.fromkeys(source.headers, pl.String)
    frame = pl.read_ndjson(content, schema=schema)
    lines = content.decode().removesuffix("\n").split("\n")
    return _texts(frame.with_columns(raw=pl.Series(lines)), source, first_line=1)


def _texts(frame: pl.DataFrame, source: SourceContract, first_line: int) -> pl.DataFrame:
    columns = []
    for name, headers in source.text_headers(frame.columns).items():
        values = [pl.col(header) for header in headers]
        text = pl.coalesce(values) if values else pl.lit(None, pl.String)
        columns.append(text.alias(f"text_{name}"))
    return frame.with_row_index("line", first_line).select(
        pl.col("line").cast(pl.Int64).alias("source_line"), "raw", *columns
    )


def silver(out: Path) -> dict[str, int]:
    """Good lines, quarantine and counts from main/bronze/finance_lines."""
    frame = pl.from_arrow(DeltaTable(out / "bronze/finance_lines").to_pyarrow_table())
    rows = len(frame)
    frame = conform(frame.lazy(), SOURCES, payor_kinds()).collect()
    # Most records are valid and clean: the lists are built for the others only.
    bad = frame.filter(~valid()).with_columns(reasons=reasons_of())
    clean = frame.filter(valid() & clean_of()).with_columns(warnings=pl.lit([], pl.List(pl.String)))
    good = pl.concat(
        [clean, frame.filter(valid() & ~clean_of()).with_columns(warnings=warnings_of())]
    )
    del frame, clean
    keys = good.select(
        pl.concat_str(
            ["company_code", "document_kind", "document_no", "vendor_key", "line_no"], separator="|"
        ).alias("key")
    )["key"]
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    good = good.with_columns(line_key=pl.Series(digests))
    before = len(good)
    good = good.sort("loaded_at", "load_id", "source_file", "source_line").unique(
        "line_key", keep="last", maintain_order=False
    )
    _write(
        out / "silver/finance_lines",
        good.select(
            "line_key", "company_code", "payor_kind", "document_kind", "document_no", "line_no",
            "document_date", "vendor_name", "vendor_key", "vendor_tin", "payee_kind", "vat_status",
            "description", "expense_category", "nature_of_payment", "currency", "amount_net",
            "amount_vat", "amount_gross", "warnings", "source_file", "source_line", "load_id",
            "loaded_at",
        ),
    )  # fmt: skip
    texts = [name for name in TEXTS if name not in ("text_description", "text_amount_basis")]
    kept = ["source", "raw", "reasons", "source_file", "source_line", "load_id", "loaded_at"]
    _write(out / "silver/finance_lines_quarantine", bad.select(*texts, *kept))
    counts = {"good": len(good), "quarantined": len(bad), "duplicates": before - len(good)}
    if sum(counts.values()) != rows:
        raise ValueError(f"{counts} do not add up to {rows}")
    missed = pl.concat(
        [
            bad.select(pl.col("reasons").explode().struct.field("name").alias("expectation")),
            good.select(pl.col("warnings").explode().alias("expectation")).drop_nulls(),
        ]
    )
    _write(out / "silver/quality_metrics", missed.group_by("expectation").len("failed"))
    return counts


def _write(path: Path, frame: pl.DataFrame) -> None:
    write_deltalake(path, frame, mode="append")


def main(exports: Path, work: Path) -> None:
    """Prints {seconds, total, cpu_seconds, peak_mb, facts} as its last line."""
    out = work / "main"
    seconds, facts = {}, {}
    for name, stage in (
        ("bronze", lambda: bronze(exports, out)),
        ("silver", lambda: silver(out)),
        ("gold", lambda: build_gold(out, _write)),
    ):
        started = time.monotonic()
        facts[name] = stage()
        seconds[name] = round(time.monotonic() - started, 2)
    lines = pl.from_arrow(
        DeltaTable(out / "silver/finance_lines").to_pyarrow_table(columns=["amount_gross"])
    )
    gross = str(lines["amount_gross"].sum())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
                "total": round(sum(seconds.values()), 2),
                "peak_mb": usage.ru_maxrss // 1024,
                "facts": {**facts["silver"], "amount_gross": gross, **facts["gold"]},
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    # The two libraries' threads now and then abort an interpreter that ends beside them.
    sys.stdout.flush()
    os._exit(0)
