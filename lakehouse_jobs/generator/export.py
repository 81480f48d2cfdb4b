"""Writes lines as Drive style ZIPs: one per company and month, one member per source system."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from .build import SOURCES, Options, build_lines, data

MEMBERS = ("ERP/register_lines.csv", "Books/purchase_and_petty_cash.csv", "ExpenseApp/lines.jsonl")
_ACCOUNTS = {
    "facilities": ("Rent Expense", "6110 - Rent"), "equipment_rental": ("Equipment Rental",),
    "legal": ("Legal Fees",),
    "accounting_audit": ("Audit and Accounting Fees", "6210 - Accounting"),
    "consulting": ("Consultancy Fees",), "employee_welfare": ("Employee Welfare",),
    "repairs_maintenance": ("Repairs and Maintenance", "6310 - R&M"),
    "construction": ("Building Construction",), "security_janitorial": ("Security and Janitorial",),
    "logistics": ("Freight and Hauling",), "marketing": ("Advertising and Promotions",),
    "brokerage": ("Brokerage",), "insurance": ("Insurance",), "sales_commission": ("Commissions",),
    "raw_materials": ("Raw Materials",), "office_supplies": ("Office Supplies", "6410 - Supplies"),
    "it_equipment": ("Computer Equipment",), "inventory": ("Merchandise Inventory",),
    "transport": ("Fuel and Oil",), "utilities": ("Light and Water", "6510 - Utilities"),
    "telecom": ("Communication",), "software": ("Software and Subscriptions",),
    "meals_entertainment": ("Meals and Representation",), "travel": ("Travel and Transportation",),
    "postage_courier": ("Postage and Courier",), "training": ("Training and Seminars",),
}  # fmt: skip
_NATURES = {
    "rent": ("Rent", "Rentals"), "professional": ("Professional Fees", "Prof Fee"),
    "contractor": ("Contractor", "Contractors"), "broker": ("Brokers",),
    "commission": ("Commissions",), "agricultural": ("Agri Products", "Agricultural"),
    "goods": ("Goods", "Purchase of Goods"), "services": ("Services", "Purchase of Services"),
}  # fmt: skip
_VAT_WORDS = {
    "erp_register": {"vat_registered": "V12", "non_vat": "NV", "zero_rated": "Z0", "exempt": "EX"},
    "ph_books": {"vat_registered": "VAT", "non_vat": "NON-VAT", "zero_rated": "ZERO-RATED",
                 "exempt": "EXEMPT"},
    "expense_app": {"vat_registered": "VATable", "non_vat": "NonVAT", "zero_rated": "ZeroRated",
                    "exempt": "VATExempt"},
}  # fmt: skip
_ERP_HEADERS = ("Company", "Doc Type", "Document No", "Line", "Document Date", "Vendor",
                "Vendor TIN", "Description", "Account", "Nature of Payment", "Currency", "Amount",
                "Tax Included", "Tax Amount", "Tax Code")  # fmt: skip
_BOOK_HEADERS = ("Co. Code", "Book", "Petsa", "OR No.", "Item No.", "Supplier", "TIN",
                 "Particulars", "Account Title", "Nature of Income Payment", "Gross Amount (PHP)",
                 "Input VAT", "VAT Reg")  # fmt: skip
_MANILA = timedelta(hours=8)


def write_exports(out: Path, options: Options) -> list[Path]:
    """Writes the ZIPs under `out`/<company>/ and returns their paths. Same options, same bytes.

    Raises ValueError for more companies than companies.json names.
    """
    companies = data("companies")
    if not 1 <= options.companies <= len(companies):
        raise ValueError(f"companies must be 1 to {len(companies)}, not {options.companies}")
    lines = build_lines(options)
    place = lines["company"] * options.months + lines["month"]
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(options.companies * options.months + 1))
    paths = []
    for index in range(options.companies * options.months):
        rows = order[edges[index] : edges[index + 1]]
        company = companies[index // options.months]["code"]
        first = _month_start(options, index % options.months)
        name = f"{company}_exports_{first:%Y-%m}-drive-download.zip"
        path = Path(out) / company / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_zip(path, _members(lines, rows, company, first), first)
        paths.append(path)
    return paths


def write_zip(path: Path, members: Iterable[tuple[str, bytes]], stamp: datetime) -> None:
    """A ZIP whose bytes depend on its content only: fixed times, no host attributes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, (stamp.year, stamp.month, stamp.day, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


def _month_start(options: Options, month: int) -> datetime:
    number = int(options.start[5:]) - 1 + month
    return datetime(int(options.start[:4]) + number // 12, number % 12 + 1, 1)


def _members(lines: dict, rows: np.ndarray, company: str, first: datetime) -> Iterator:
    writers: tuple[Callable, ...] = (_erp, _books, _app)
    for number, member in enumerate(MEMBERS):
        chosen = rows[lines["source"][rows] == number]
        if len(chosen):
            columns = {name: column[chosen].tolist() for name, column in lines.items()}
            yield member, writers[number](columns, company, first).encode()


def _csv(headers: tuple[str, ...], rows: Iterable[tuple]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return out.getvalue()


def _word(table: dict[str, tuple[str, ...]], code: str | None, pick: int) -> str:
    return "" if code is None else table[code][pick % len(table[code])]


def _tin(columns: dict, i: int) -> str:
    fault, tin = columns["fault"][i], columns["tin"][i]
    if fault == "missing_tin":
        return ""
    if fault == "wrong_tin":
        return (tin[:10], tin.replace("-", "")[:8], "000-000-000", "TIN to follow")[i % 4]
    return tin


def _vendor(columns: dict, i: int) -> str:
    return "" if columns["fault"][i] == "missing_vendor" else columns["vendor"][i]


def _amount(columns: dict, i: int, inclusive: bool) -> tuple[int, int]:
    """The printed amount and its VAT, cents; half up, as a cash register does it."""
    cents = columns["cents"][i]
    if columns["vat_status"][i] != "vat_registered":
        vat, gross = 0, cents
    else:
        net = (cents * 200 + 112) // 224
        vat, gross = cents - net, cents
        if not inclusive:
            vat, gross = (cents * 24 + 100) // 200, cents
    if columns["fault"][i] == "negative":
        return -gross, -vat
    return gross, vat


def _money(cents: int, thousands: bool = False) -> str:
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    pesos = f"{cents // 100:,}" if thousands else f"{cents // 100}"
    return f"{sign}{pesos}.{cents % 100:02d}"


def _erp(columns: dict, company: str, first: datetime) -> str:
    vat_words = _VAT_WORDS[SOURCES[0]]
    month = f"{first:%Y-%m}"

    def rows() -> Iterator[tuple]:
        for i, fault in enumerate(columns["fault"]):
            inclusive = columns["inclusive"][i]
            amount, vat = _amount(columns, i, inclusive)
            yield (
                company,
                "Bill" if columns["kind"][i] else "Expense",
                columns["document_no"][i],
                columns["line_no"][i],
                f"{month}-31" if fault == "bad_date" and first.month in (9, 11)
                else "n/a" if fault == "bad_date" else f"{month}-{columns['day'][i]:02d}",
                _vendor(columns, i),
                _tin(columns, i),
                columns["text"][i],
                _word(_ACCOUNTS, columns["account"][i], i),
                _word(_NATURES, columns["nature"][i], i),
                "PHP",
                "see attached" if fault == "bad_amount" else _money(amount),
                "Y" if inclusive else "N",
                _money(vat) if i % 3 == 0 else "",
                vat_words[columns["vat_status"][i]],
            )  # fmt: skip

    return _csv(_ERP_HEADERS, rows())


def _books(columns: dict, company: str, first: datetime) -> str:
    vat_words = _VAT_WORDS[SOURCES[1]]
    month = f"{first:%m/%Y}"

    def rows() -> Iterator[tuple]:
        for i, fault in enumerate(columns["fault"]):
            amount, vat = _amount(columns, i, True)
            registered = columns["vat_status"][i] == "vat_registered"
            tin = _tin(columns, i)
            suffix = ("V" if registered else "NV") if tin and fault == "" and i % 2 else ""
            yield (
                company,
                "Purchases" if columns["kind"][i] else "Petty Cash",
                "31/02/2025" if fault == "bad_date" else f"{columns['day'][i]:02d}/{month}",
                columns["document_no"][i],
                columns["line_no"][i],
                _vendor(columns, i).upper() if i % 2 else _vendor(columns, i),
                f"{tin} {suffix}".rstrip() if suffix else tin,
                columns["text"][i],
                _word(_ACCOUNTS, columns["account"][i], i),
                _word(_NATURES, columns["nature"][i], i),
                "P --" if fault == "bad_amount" else _money(amount, thousands=True),
                _money(vat, thousands=True) if registered else "",
                vat_words[columns["vat_status"][i]],
            )

    return _csv(_BOOK_HEADERS, rows())


def _app(columns: dict, company: str, first: datetime) -> str:
    vat_words = _VAT_WORDS[SOURCES[2]]
    out = []
    for i, fault in enumerate(columns["fault"]):
        inclusive = columns["inclusive"][i]
        amount, _vat = _amount(columns, i, inclusive)
        # Manila's day, told in UTC: a receipt of the early morning bears the day before.
        moment = first + timedelta(days=columns["day"][i] - 1, hours=(i * 7) % 24) - _MANILA
        record = {
            "companyCode": company,
            "kind": "bill" if columns["kind"][i] else "expense",
            "receiptNumber": columns["document_no"][i],
            "lineNumber": columns["line_no"][i],
            "issuedAt": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "merchant": _vendor(columns, i) or None,
            "merchantTin": _tin(columns, i) or None,
            "memo": columns["text"][i],
            "category": _word(_ACCOUNTS, columns["account"][i], i) or None,
            "paymentNature": _word(_NATURES, columns["nature"][i], i) or None,
            "currencyCode": "PHP",
            "total": "n/a" if fault == "bad_amount" else amount / 100,
            "pricesIncludeTax": inclusive,
            "taxType": vat_words[columns["vat_status"][i]],
        }
        if fault == "bad_date":
            record["issuedAt"] = "2025-02-31T09:00:00Z"
        out.append(json.dumps(record, ensure_ascii=False))
    return "\n".join(out) + "\n"
