"""Dates, money, TINs and names out of text: Column expressions with a parity case each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from bir_rules.data import juridical_words, vat_rules

from ..contracts import SourceContract
from .fields import case, field_of

MONEY = "decimal(18,2)"
BUSINESS_ZONE = "Asia/Manila"
VAT_TOLERANCE = "0.05"
_TIN = (
    r"^(?:VAT |NON-?VAT )?(?:REG )?(?:TIN )?[0-9]{3}[-. ]?[0-9]{3}[-. ]?[0-9]{3}"
    r"(?:[-. ]?[0-9]{3,5})?\s*(?:V|NV|VAT|NON-?VAT)?$"
)


def business_date(sources: Sequence[SourceContract]) -> Column:
    """text_document_date as the date in Manila; null if it is no day of the calendar."""
    text = F.col("text_document_date")
    branches = []
    for source in sources:
        form = field_of(source, "document_date").format
        branches.append((F.col("source") == source.name, _date(text, form)))
    return case(branches)


def _date(text: Column, form: str | None) -> Column:
    # The shape is asked for first: engines differ in what else they take for a date.
    if form == "day_first":
        day_month_year = r"^([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})$"
        turned = F.regexp_replace(text, day_month_year, "$3-$2-$1")
        return F.when(text.rlike(day_month_year), turned).try_cast("date")
    if form == "utc_timestamp":
        shaped = text.rlike(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$")
        plain = F.concat_ws(" ", F.substring(text, 1, 10), F.substring(text, 12, 8))
        moment = F.when(shaped, plain).try_cast("timestamp")
        return F.from_utc_timestamp(moment, BUSINESS_ZONE).cast("date")
    return F.when(text.rlike(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), text).try_cast("date")


def whole_number(text: Column) -> Column:
    """int of a text such as 12 or 12.0; else null."""
    return F.regexp_extract(text, r"^([0-9]{1,9})(?:\.0+)?$", 1).try_cast("int")


def amount(text: Column) -> Column:
    """decimal(18,2) of a plain or grouped number ('1,234.50', with or without PHP); else null."""
    digits = F.regexp_replace(text, r"^(?:PHP|P|₱)\s*|,", "")
    return F.when(digits.rlike(r"^-?[0-9]{1,15}(?:\.[0-9]{1,6})?$"), digits).try_cast(MONEY)


def tin(text: Column) -> Column:
    """ddd-ddd-ddd, with the branch padded to five digits if there is one; null if malformed."""
    # Digits alone, whatever parts them; that they stand as a TIN's do is asked of the whole text.
    digits = F.translate(F.upper(text), "ABCDEFGHIJKLMNOPQRSTUVWXYZ-. ", "")
    parts = [F.substring(digits, at, 3) for at in (1, 4, 7)]
    base = F.concat_ws("-", *parts)
    branch = F.lpad(F.substring(digits, 10, 5), 5, "0")
    full = F.when(F.length(digits) == 9, base).otherwise(F.concat_ws("-", base, branch))
    blank = F.substring(digits, 1, 9) == "000000000"
    return F.when(F.upper(text).rlike(_TIN) & ~blank, full)


def name_key(name: Column) -> Column:
    """Upper case letters and digits, single blanks: Kislap Trading, Inc. -> KISLAP TRADING INC."""
    return F.trim(F.regexp_replace(F.upper(name), r"[^\p{L}\p{N}]+", " "))


def single_blanks(text: Column) -> Column:
    """Runs of white space become one blank."""
    return F.when(text.rlike(r"[\t\r\n]|  "), F.regexp_replace(text, r"\s+", " ")).otherwise(text)


def payee_kind(name: Column) -> Column:
    """corporate if the name has a juridical word, else individual (as bir_rules reads names)."""
    words = "|".join(sorted(juridical_words() - {"CO"}))
    # Dots vanish first, so that O.P.C. is a word; a leading Co is a family name.
    text = F.translate(F.upper(name), ".", "")
    pattern = rf"(?:^|[^\p{{L}}])(?:{words})(?:[^\p{{L}}]|$)|\p{{L}}[^\p{{L}}]+CO(?:[^\p{{L}}]|$)"
    return F.when(text.rlike(pattern), F.lit("corporate")).otherwise(F.lit("individual"))


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
    return money((gross * hundred).cast("decimal(24,6)") / (hundred + rate).cast("decimal(6,2)"))


def vat_of_net(net: Column, rate: Column) -> Column:
    """rate percent of net, without a division."""
    return money(net * (rate * F.lit("0.01").cast("decimal(3,2)")).cast("decimal(9,4)"))
