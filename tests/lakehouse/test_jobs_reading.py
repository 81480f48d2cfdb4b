"""Reading of files: the fast way and the careful way agree; bad files are refused with a line."""

from __future__ import annotations

import io
import json
import resource

import pyarrow as pa
import pytest

from lakehouse_jobs.contracts import source_contracts
from lakehouse_jobs.generator import Options, write_exports
from lakehouse_jobs.generator.export import _BOOK_HEADERS, _ERP_HEADERS
from lakehouse_jobs.sources import fast, records
from lakehouse_jobs.sources.lines import LongLine, Refused, bounded_lines
from lakehouse_jobs.sources.unpack import _batched, find_archives, open_member, stage_archives

CONTRACTS = source_contracts()
ERP = ",".join(_ERP_HEADERS)
ROW = "MAYON,Bill,B-1,1,2025-07-01,{vendor},,{text},,,PHP,1.00,Y,,NV"


def _fast(content: bytes, kind: str = "csv") -> list[dict]:
    reader = fast.csv_batches if kind == "csv" else fast.json_batches
    _, batches = reader(io.BytesIO(content), CONTRACTS)
    return pa.Table.from_batches(list(batches), fast.BATCH_SCHEMA).to_pylist()


def _careful(content: bytes, kind: str = "csv", limit: int = records.MAX_LINE_BYTES) -> list[dict]:
    reader = records.csv_records if kind == "csv" else records.json_records
    _, rows = reader(io.BytesIO(content), CONTRACTS, limit)
    return pa.Table.from_batches(list(_batched(rows)), fast.BATCH_SCHEMA).to_pylist()


def _erp(*rows: str, end: str = "\r\n") -> bytes:
    return (end.join([ERP, *rows]) + end).encode()


CSV_CASES = {
    "plain": _erp(ROW.format(vendor="A", text="x"), ROW.format(vendor="B", text="y")),
    "line feeds": _erp(ROW.format(vendor="A", text="x"), end="\n"),
    "no end": _erp(ROW.format(vendor="A", text="x"))[:-2],
    "byte order mark": b"\xef\xbb\xbf" + _erp(ROW.format(vendor="A", text="x")),
    "quoted commas": _erp(ROW.format(vendor='"A, Inc."', text='"he said ""yes"""')),
    "line breaks in cells": _erp(
        ROW.format(vendor="A", text='"one\ntwo\nthree"'),
        ROW.format(vendor='"B\nC"', text="y"),
        ROW.format(vendor="D", text="z"),
    ),
    "backslash, tab, accents": _erp(ROW.format(vendor="Peña \\ Co", text="a\tb")),
    "header only": (ERP + "\r\n").encode(),
}


@pytest.mark.parametrize("name", CSV_CASES)
def test_fast_and_careful_csv_agree(name):
    assert _fast(CSV_CASES[name]) == _careful(CSV_CASES[name])


def test_fast_and_careful_agree_on_the_generated_files(tmp_path):
    write_exports(tmp_path, Options(lines=900, months=1))
    archives, _ = find_archives(tmp_path)
    compared = 0
    for archive in archives:
        for member in ("ERP/register_lines.csv", "Books/purchase_and_petty_cash.csv",
                       "ExpenseApp/lines.jsonl"):  # fmt: skip
            content = open_member(archive.file, member).read()
            kind = "csv" if member.endswith(".csv") else "json"
            assert _fast(content, kind) == _careful(content, kind)
            compared += content.count(b"\n")
    assert compared > 900


def test_lines_are_those_of_the_file():
    rows = _fast(CSV_CASES["line breaks in cells"])
    assert [row["source_line"] for row in rows] == [2, 5, 7]
    assert json.loads(rows[0]["raw"])["Description"] == "one\ntwo\nthree"


def test_texts_come_from_the_source_headers():
    values = 'SAMPAGUITA,Purchases,01/07/2025,OR-9,1,Kislap,,bond paper,,,"1,120.00",,VAT'
    content = f"{','.join(_BOOK_HEADERS)}\r\n{values}\r\n".encode()
    row = _fast(content)[0]
    assert row["text_document_no"] == "OR-9"
    assert row["text_amount"] == "1,120.00"
    assert row["text_vendor_tin"] is None
    assert json.loads(row["raw"])["OR No."] == "OR-9"


JSON_RECORD = (
    '{"companyCode": "MAYON", "kind": "bill", "receiptNumber": "AP-1", "lineNumber": 1, '
    '"issuedAt": "2025-07-03T01:00:00Z", "merchant": "Kislap", "merchantTin": null, '
    '"memo": %s, "category": null, "paymentNature": null, "currencyCode": "PHP", '
    '"total": %s, "pricesIncludeTax": true, "taxType": "NonVAT"}'
)
MEMOS = ['"plain"', '"a \\"total\\": 5, b"', '"\\u00f1 \\n \\\\"', '""', "null"]
TOTALS = ["1120.0", "12345678.90", "0.10", '"n/a"', "5", "100000000000000.01"]


@pytest.mark.parametrize("memo", MEMOS)
@pytest.mark.parametrize("total", TOTALS)
def test_fast_and_careful_json_agree_and_keep_digits(memo, total):
    content = (JSON_RECORD % (memo, total) + "\n").encode() * 2
    rows = _fast(content, "json")
    assert rows == _careful(content, "json")
    assert rows[0]["text_amount"] == total.strip('"')
    assert rows[0]["text_amount_basis"] == "true"
    assert rows[0]["raw"] == content.decode().splitlines()[0]


def test_json_array_with_a_record_to_a_line():
    record = JSON_RECORD % ('"x"', "5.0")
    rows = _careful(f"[\n{record},\n{record}\n]\n".encode(), "json")
    assert [row["source_line"] for row in rows] == [2, 3]
    assert rows[0]["raw"] == record


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        (b"", "empty file", None),
        (ERP.replace("Tax Code", "Amount").encode(), "duplicate column 'Amount'", 1),
        (ERP.replace("Vendor,", "Seller,").encode(), "missing column 'Vendor' of erp_register", 1),
        (b"a,b\r\n1,2\r\n", "unknown columns: a, b", 1),
        (_erp(ROW.format(vendor="Peña", text="x")).decode().encode("latin-1"), "not UTF-8", 2),
        (_erp("").decode().encode("utf-16"), "not UTF-8", 1),
        (_erp(ROW.format(vendor="A", text="x"), ROW.format(vendor='"A', text="x")), "CSV:", 3),
        (_erp(ROW.format(vendor="A\x00", text="x")), "NUL", 2),
    ],
)
def test_bad_files_are_refused_with_reason_and_line(content, reason, line):
    with pytest.raises(Refused) as refusal:
        _careful(content)
    assert reason in refusal.value.reason
    assert refusal.value.line == line


@pytest.mark.parametrize(
    "content",
    [
        _erp("MAYON,Bill"),
        _erp("", ROW.format(vendor="A", text="x")),
        _erp(ROW.format(vendor="A\x01", text="x")),
        _erp(ROW.format(vendor="Peña", text="x")).decode().encode("latin-1"),
        _erp(ROW.format(vendor="A", text="x" * (2 * 1024 * 1024))),
    ],
)
def test_the_fast_way_leaves_unusual_files_to_the_careful_one(content):
    with pytest.raises(fast.Unusual):
        _fast(content)


def test_problem_records_keep_their_place():
    good = ROW.format(vendor="A", text="x")
    rows = _careful(_erp(good, ROW.format(vendor="A", text="y" * 5000), good + ",9", "", good),
                    limit=1000)  # fmt: skip
    assert [(row["source_line"], row["problem"]) for row in rows] == [
        (2, None),
        (3, records.LINE_TOO_LONG),
        (4, records.COLUMN_COUNT),
        (6, None),
    ]
    assert len(rows[1]["raw"]) == 1000


class _Endless(io.RawIOBase):
    """A line of `size` bytes between two short ones, made as it is read."""

    def __init__(self, size: int) -> None:
        self.parts = [ERP.encode() + b"\n", size, b"\n" + ROW.encode() + b"\n"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self.parts:
            return 0
        part = self.parts[0]
        if isinstance(part, int):
            count = min(part, len(buffer))
            buffer[:count] = b"x" * count
            self.parts[0] = part - count
            if not self.parts[0]:
                self.parts.pop(0)
            return count
        count = min(len(part), len(buffer))
        buffer[:count] = part[:count]
        self.parts[0] = part[count:]
        if not self.parts[0]:
            self.parts.pop(0)
        return count


def test_a_line_of_200_mb_does_not_fill_the_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = list(bounded_lines(_Endless(200 * 1024 * 1024)))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [isinstance(line, LongLine) for line in lines] == [False, True, False]
    assert (after - before) / 1024 < 30


def test_a_member_is_staged_whole_or_not_at_all(tmp_path):
    """The bad byte comes after many good rows; none of them may stay behind."""
    from datetime import datetime

    from lakehouse_jobs.generator.export import write_zip

    good = _erp(*[ROW.format(vendor="A", text="x")] * 20_000)
    bad = good + ROW.format(vendor="Peña", text="x").encode("latin-1") + b"\r\n"
    write_zip(tmp_path / "in.zip", [("bad.csv", bad), ("good.csv", good)], datetime(2025, 7, 1))
    archives, _ = find_archives(tmp_path)
    outcomes = list(stage_archives(archives, tmp_path / "staged"))
    assert [(o.member, o.rows, o.line) for o in outcomes] == [
        ("bad.csv", 0, 20_002),
        ("good.csv", 20_000, None),
    ]
    import pyarrow.dataset as dataset

    staged = dataset.dataset(tmp_path / "staged").to_table()
    assert staged.num_rows == 20_000
    assert set(staged.column("source_file").to_pylist()) == {"in.zip!good.csv"}
