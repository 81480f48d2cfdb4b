"""Files as they should not be: what an ingest has to refuse, or to quarantine, by name and line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from .export import _BOOK_HEADERS, _ERP_HEADERS, write_zip

_STAMP = datetime(2025, 7, 1)
LONG_LINE = 3 * 1024 * 1024
_APP_RECORD = (
    b'{"companyCode": "MAYON", "kind": "bill", "receiptNumber": "AP-BRK-1", "lineNumber": 1, '
    b'"issuedAt": "2025-07-03T01:00:00Z", "merchant": "Kislap Trading", "merchantTin": null, '
    b'"memo": "bond paper", "currencyCode": "PHP", "total": 560.0, "pricesIncludeTax": true, '
    b'"taxType": "NonVAT"}\n'
)


def _erp_row(number: int, description: str = "Office supplies") -> str:
    return (
        f"SAMPAGUITA,Bill,BRK-{number:04d},1,2025-07-15,Kislap Bookstore Inc.,012-345-678-00000,"
        f"{description},Office Supplies,Goods,PHP,1120.00,Y,120.00,V12"
    )


def _erp_file(*rows: str, headers: tuple[str, ...] = _ERP_HEADERS) -> bytes:
    return ("\r\n".join([",".join(headers), *rows]) + "\r\n").encode()


def add_broken(out: Path, long_line: int = LONG_LINE) -> dict[str, str]:
    """Writes the broken files under `out`/BROKEN and returns {file or file!member: its fault}.

    `long_line` is the length in bytes of the line that is far too long.
    """
    folder = Path(out) / "BROKEN"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "unreadable.zip").write_bytes(b"PK\x03\x04 this is not a zip archive")
    (folder / "empty.zip").write_bytes(b"")
    latin = _erp_file(_erp_row(1), _erp_row(2, "Peña repair")).decode().encode("latin-1")
    duplicated = (*_ERP_HEADERS[:-1], "Amount")
    missing = tuple("Halaga" if name == "Gross Amount (PHP)" else name for name in _BOOK_HEADERS)
    members = {
        "empty.csv": (b"", "empty file"),
        "latin1.csv": (latin, "not UTF-8"),
        "utf16.csv": (_erp_file(_erp_row(3)).decode().encode("utf-16"), "not UTF-8"),
        "duplicate_column.csv": (_erp_file(_erp_row(4), headers=duplicated), "duplicate column"),
        "missing_column.csv": (_erp_file(",".join("x" * len(missing)), headers=missing),
                               "missing column"),
        "long_line.csv": (_erp_file(_erp_row(5), _erp_row(6, "x" * long_line), _erp_row(7)),
                          "line too long"),
        "ragged.csv": (_erp_file(_erp_row(8), _erp_row(9) + ",one,too,many", "SAMPAGUITA,Bill"),
                       "column count"),
        "bad_record.jsonl": (_APP_RECORD + b'{"companyCode": "MAY\n' + _APP_RECORD[:-3] + b"\n",
                             "unreadable record"),
        "notes.txt": (b"not an export\n", "unknown file type"),
    }  # fmt: skip
    write_zip(folder / "members.zip", ((k, v[0]) for k, v in members.items()), _STAMP)
    faults = {"BROKEN/unreadable.zip": "unreadable ZIP", "BROKEN/empty.zip": "empty file"}
    faults.update({f"BROKEN/members.zip!{name}": v[1] for name, v in members.items()})
    return faults
