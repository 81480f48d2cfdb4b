"""Silver of the reference: the expressions of `lakehouse_jobs.transforms` in polars.

Money is whole centavos while it is computed, so that halves round up as they do there.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from bir_rules.data import juridical_words
from lakehouse_jobs.contracts import FIELDS, SourceContract

_TIN = (
    r"^(?:VAT |NON-?VAT )?(?:REG )?(?:TIN )?[0-9]{3}[-. ]?[0-9]{3}[-. ]?[0-9]{3}"
    r"(?:[-. ]?[0-9]{3,5})?\s*(?:V|NV|VAT|NON-?VAT)?$"
)
_REFUSED = (
    ("record_readable", pl.col("problem").is_null(), "raw", "unreadable record"),
    ("company_known", pl.col("payor_kind").is_not_null(), "company_code", "company is unknown"),
    ("document_kind_known", pl.col("document_kind").is_not_null(), "document_kind", "kind"),
    ("document_no_present", pl.col("document_no").is_not_null(), "document_no", "number"),
    ("line_no_valid", (pl.col("line_no") > 0).fill_null(False), "line_no", "line number"),
    ("document_date_valid", pl.col("document_date").is_not_null(), "document_date", "date"),
    ("vendor_present", pl.col("vendor_name").is_not_null(), "vendor_name", "vendor is missing"),
    ("amount_valid", pl.col("cents").is_not_null(), "amount", "amount is not a number"),
    ("amount_not_negative", (pl.col("cents") >= 0).fill_null(True), "amount", "negative"),
    ("vat_status_known", pl.col("vat_status").is_not_null(), "vat_status", "VAT status"),
    ("currency_valid", pl.col("currency").str.contains("^[A-Z]{3}$"), "currency", "currency"),
)
_WARNED = (
    ("vendor_tin_present", pl.col("text_vendor_tin").is_not_null()),
    ("vendor_tin_valid", pl.col("text_vendor_tin").is_null() | pl.col("vendor_tin").is_not_null()),
    ("amount_not_zero", (pl.col("cents") != 0).fill_null(True)),
    ("amount_basis_present", pl.col("text_amount_basis").is_not_null()),
    ("vat_line_agrees", ((pl.col("stated") - pl.col("vat0")).abs() <= 5).fill_null(True)),
    ("expense_category_known",
     pl.col("text_expense_category").is_null() | pl.col("expense_category").is_not_null()),
    ("nature_of_payment_known",
     pl.col("text_nature_of_payment").is_null() | pl.col("nature_of_payment").is_not_null()),
)  # fmt: skip


def conform(
    frame: pl.LazyFrame, sources: Mapping[str, SourceContract], payors: Mapping[str, str]
) -> pl.LazyFrame:
    """Typed columns beside the texts."""
    texts = {}
    for name in FIELDS:
        text = pl.col(f"text_{name}").str.strip_chars(" ")
        text = pl.when(text != "").then(text)
        for source in sources.values():
            constant = next(f for f in source.fields if f.name == name).constant
            if constant is not None:
                is_source = pl.col("source") == source.name
                text = pl.when(is_source).then(pl.lit(constant)).otherwise(text)
        texts[f"text_{name}"] = text
    frame = frame.with_columns(**texts)
    company = pl.col("text_company").str.to_uppercase()
    name = pl.col("text_vendor_name").str.replace_all(r"\s+", " ")
    frame = frame.with_columns(
        company_code=company,
        payor_kind=company.replace_strict(payors, default=None, return_dtype=pl.String),
        document_kind=_mapped("document_kind", sources),
        document_no=pl.col("text_document_no"),
        line_no=pl.col("text_line_no")
        .str.extract(r"^([0-9]{1,9})(?:\.0+)?$", 1)
        .cast(pl.Int32, strict=False),
        document_date=_date(),
        vendor_name=name,
        vendor_tin=_tin(),
        vat_status=_mapped("vat_status", sources),
        description=pl.col("text_description").fill_null("").str.replace_all(r"\s+", " "),
        expense_category=_mapped("expense_category", sources),
        nature_of_payment=_mapped("nature_of_payment", sources),
        currency=pl.col("text_currency").fill_null("PHP").str.to_uppercase(),
        cents=_cents("text_amount"),
        stated=_cents("text_vat_amount"),
        inclusive=_mapped("amount_basis", sources).fill_null("inclusive") == "inclusive",
    )
    key = pl.col("vendor_name").str.to_uppercase().str.replace_all(r"[^\p{L}\p{N}]+", " ")
    digits = pl.col("vendor_tin").str.slice(0, 11).str.replace_all("-", "", literal=True)
    frame = frame.with_columns(
        vendor_key=pl.coalesce(digits, key.str.strip_chars(" ")), payee_kind=_payee_kind()
    )
    return _amounts(frame)


def _amounts(frame: pl.LazyFrame) -> pl.LazyFrame:
    cents, registered = pl.col("cents"), pl.col("vat_status") == "vat_registered"
    included = pl.col("inclusive")
    vat = pl.when(included).then(cents - (cents * 200 + 112) // 224).otherwise(
        (cents * 24 + 100) // 200
    )  # fmt: skip
    frame = frame.with_columns(vat0=pl.when(registered).then(vat).otherwise(0))
    close = ((pl.col("stated") - pl.col("vat0")).abs() <= 5).fill_null(False)
    frame = frame.with_columns(vat1=pl.when(close).then(pl.col("stated")).otherwise(pl.col("vat0")))
    net = pl.when(included).then(cents - pl.col("vat1")).otherwise(cents)
    gross = pl.when(included).then(cents).otherwise(cents + pl.col("vat1"))
    return frame.with_columns(
        amount_net=money(net), amount_vat=money(pl.col("vat1")), amount_gross=money(gross)
    )


def money(cents: pl.Expr) -> pl.Expr:
    """decimal(18,2) of whole centavos."""
    return (cents.cast(pl.Decimal(18, 2)) * pl.lit("0.01").str.to_decimal(scale=2)).cast(
        pl.Decimal(18, 2)
    )


def _cents(column: str) -> pl.Expr:
    digits = pl.col(column).str.replace_all(r"^(?:PHP|P|₱)\s*|,", "")
    shaped = digits.str.contains(r"^-?[0-9]{1,15}(?:\.[0-9]{1,6})?$")
    value = pl.when(shaped).then(digits).str.to_decimal(scale=2)
    return (value * 100).cast(pl.Int64)


def _date() -> pl.Expr:
    text = pl.col("text_document_date")
    stamp = text.str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False)
    return (
        pl.when(pl.col("source") == "ph_books")
        .then(text.str.to_date("%d/%m/%Y", strict=False))
        .when(pl.col("source") == "expense_app")
        .then(stamp.dt.offset_by("8h").dt.date())
        .otherwise(text.str.to_date("%Y-%m-%d", strict=False))
    )


def _tin() -> pl.Expr:
    upper = pl.col("text_vendor_tin").str.to_uppercase()
    digits = upper.str.replace_all("[^0-9]", "")
    base = pl.concat_str([digits.str.slice(at, 3) for at in (0, 3, 6)], separator="-")
    branch = digits.str.slice(9, 5).str.zfill(5)
    full = pl.when(digits.str.len_bytes() == 9).then(base).otherwise(
        pl.concat_str([base, branch], separator="-")
    )  # fmt: skip
    zeros = digits.str.slice(0, 9) == "000000000"
    return pl.when(upper.str.contains(_TIN) & ~zeros).then(full)


def _payee_kind() -> pl.Expr:
    words = "|".join(sorted(juridical_words() - {"CO"}))
    text = pl.col("vendor_name").str.to_uppercase().str.replace_all(".", "", literal=True)
    pattern = rf"(?:^|[^\p{{L}}])(?:{words})(?:[^\p{{L}}]|$)|\p{{L}}[^\p{{L}}]+CO(?:[^\p{{L}}]|$)"
    corporate = text.str.contains(pattern)
    return pl.when(corporate).then(pl.lit("corporate")).otherwise(pl.lit("individual"))


def _mapped(name: str, sources: Mapping[str, SourceContract]) -> pl.Expr:
    lowered = pl.col(f"text_{name}").str.to_lowercase()
    result = pl.lit(None, pl.String)
    maps: dict[tuple, list[str]] = {}
    for source in sources.values():
        values = next(f for f in source.fields if f.name == name).values
        maps.setdefault(values, []).append(source.name)
    for values, names in maps.items():
        if values is None:
            code = pl.col(f"text_{name}")
        else:
            code = lowered.replace_strict(dict(values), default=None, return_dtype=pl.String)
        if len(maps) == 1:
            return code
        result = pl.when(pl.col("source").is_in(names)).then(code).otherwise(result)
    return result


def valid() -> pl.Expr:
    """Whether a record meets everything that would refuse it."""
    return pl.all_horizontal([met for _, met, _, _ in _REFUSED])


def clean_of() -> pl.Expr:
    """Whether a record gives no cause for a warning."""
    return pl.all_horizontal([met for _, met in _WARNED])


def reasons_of() -> pl.Expr:
    """List of {name, message, column} of what a record misses."""
    entries = [
        pl.when(~met).then(
            pl.struct(name=pl.lit(name), message=pl.lit(message), column=pl.lit(column))
        )
        for name, met, column, message in _REFUSED
    ]
    return pl.concat_list(entries).list.drop_nulls()


def warnings_of() -> pl.Expr:
    entries = [pl.when(~met).then(pl.lit(name)) for name, met in _WARNED]
    return pl.concat_list(entries).list.drop_nulls()
