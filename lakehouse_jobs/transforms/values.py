"""Dates, money, TINs and names out of text: Column expressions with a parity case each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from bir_rules.data import juridical_words, vat_rules

from ..contracts import SourceContract
from .fields import case

MONEY = "decimal(18,2)"
BUSINESS_ZONE = "Asia/Manila"
VAT_TOLERANCE = "0.05"
_TIN = (
    r"^(?:VAT |NON-?VAT )?(?:REG )?(?:TIN )?([0-9]{3})[-. ]?([0-9]{3})[-. ]?([0-9]{3})"
    r"(?:[-. ]?([0-9]{3,5}))?\s*(?:V|NV|VAT|NON-?VAT)?$"
)


def business_date(sources: Sequence[SourceContract]) -> Column:
    """text_document_date as the date in Manila; null if it is no day of the calendar."""
    text = F.col("text_document_date")
    branches = []
    for source in sources:
        field = next(f for f in source.fields if f.name == "document_date")
        branches.append((F.col("source") == source.name, _date(text, field.format)))
    return case(branches)


def _date(text: Column, form: str | None) -> Column:
    if form == "day_first":
        day, month, year = (
            F.regexp_extract(text, r"^([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})$", group)
            for group in (1, 2, 3)
        )
        return F.concat_ws("-", year, month, day).try_cast("date")
    if form == "utc_timestamp":
        plain = F.regexp_extract(text, r"^([0-9-]{10})T([0-9:]{8})(?:\.[0-9]+)?Z$", 1)
        time = F.regexp_extract(text, r"^([0-9-]{10})T([0-9:]{8})(?:\.[0-9]+)?Z$", 2)
        moment = F.concat_ws(" ", plain, time).try_cast("timestamp")
        return F.from_utc_timestamp(moment, BUSINESS_ZONE).cast("date")
    return F.regexp_extract(text, r"^([0-9]{4}-[0-9]{2}-[0-9]{2})$", 1).try_cast("date")


def whole_number(text: Column) -> Column:
    """int of a text such as 12 or 12.0; else null."""
    return F.regexp_extract(text, r"^([0-9]{1,9})(?:\.0+)?$", 1).try_cast("int")


def amount(text: Column) -> Column:
    """decimal(18,2) of a plain or grouped number ('1,234.50', with or without PHP); else null."""
    digits = F.regexp_replace(text, r"^(?:PHP|P|₱)\s*|,", "")
    return F.when(digits.rlike(r"^-?[0-9]{1,15}(?:\.[0-9]{1,6})?$"), digits).try_cast(MONEY)


def tin(text: Column) -> Column:
    """ddd-ddd-ddd, with the branch padded to five digits if there is one; null if malformed."""
    upper = F.upper(text)
    one, two, three, branch = (F.regexp_extract(upper, _TIN, group) for group in (1, 2, 3, 4))
    base = F.concat_ws("-", one, two, three)
    full = F.when(branch != "", F.concat_ws("-", base, F.lpad(branch, 5, "0"))).otherwise(base)
    return F.when((F.length(base) == 11) & (base != "000-000-000"), full)


def name_key(name: Column) -> Column:
    """Upper case letters and digits, single blanks: Kislap Trading, Inc. -> KISLAP TRADING INC."""
    return F.trim(F.regexp_replace(F.upper(name), r"[^\p{L}\p{N}]+", " "))


def payee_kind(key: Column, name: Column) -> Column:
    """corporate if the name has a juridical word, else individual (as bir_rules reads names)."""
    words = sorted(juridical_words() - {"CO"})
    # Dots vanish first, so that O.P.C. is a word; a leading Co is a family name.
    text = F.regexp_replace(F.regexp_replace(F.upper(name), r"\.", ""), r"[^\p{L}]+", " ")
    padded = F.concat(F.lit(" "), F.trim(text), F.lit(" "))
    pattern = rf" (?:{'|'.join(words)}) |[^ ] CO "
    return F.when(padded.rlike(pattern), F.lit("corporate")).otherwise(F.lit("individual"))


def vat_rate() -> Column:
    """Percent of the VAT rule that holds for vat_status on document_date; null if none does."""
    branches = []
    for rule in vat_rules():
        holds = (F.col("vat_status") == rule.vat_status) & on_or_after(rule.valid_from)
        if rule.valid_to is not None:
            holds = holds & ~on_or_after(rule.valid_to + timedelta(days=1))
        branches.append((holds, F.lit(str(rule.rate)).cast("decimal(5,2)")))
    return case(branches)


def on_or_after(day: date) -> Column:
    return F.col("document_date") >= F.lit(day.isoformat()).cast("date")


def money(value: Column) -> Column:
    """Rounded half up to centavos; every product and quotient of money ends here."""
    return F.round(value, 2).cast(MONEY)


def net_of_gross(gross: Column, rate: Column) -> Column:
    """gross x 100 / (100 + rate). A quotient of centavos by 100..200 needs six digits at most."""
    hundred = F.lit("100").cast("decimal(5,2)")
    return money(
        (gross * hundred).cast("decimal(24,6)") / (hundred + rate).cast("decimal(6,2)")
    )


def vat_of_net(net: Column, rate: Column) -> Column:
    """rate percent of net, without a division."""
    return money(net * (rate * F.lit("0.01").cast("decimal(3,2)")).cast("decimal(9,4)"))
