"""Loads the rule tables. They are read through importlib.resources, so a zipped wheel works."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from importlib import resources

from .model import (
    PAYOR_KINDS,
    BusinessTaxRule,
    Form,
    Nature,
    Rule,
    Threshold,
    Variant,
    VatRule,
)

DATA_FILES = (
    "atc_rules.csv",
    "business_tax.csv",
    "forms.csv",
    "juridical_words.csv",
    "natures.csv",
    "thresholds.csv",
    "variants.csv",
    "vat.csv",
)
_BOOLEANS = {"true": True, "false": False}


def _bytes(name: str) -> bytes:
    return resources.files(__package__).joinpath("data", name).read_bytes()


def _rows(name: str) -> list[dict[str, str]]:
    text = _bytes(name).decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _dated(row: Mapping[str, str]) -> dict:
    valid_to = row["valid_to"]
    return {
        "valid_from": datetime.date.fromisoformat(row["valid_from"]),
        "valid_to": datetime.date.fromisoformat(valid_to) if valid_to else None,
        "source": row["source"],
    }


@lru_cache(maxsize=1)
def natures() -> tuple[Nature, ...]:
    """The natures of payment in their display order."""
    return tuple(Nature(**row) for row in _rows("natures.csv"))


@lru_cache(maxsize=1)
def variants() -> tuple[Variant, ...]:
    return tuple(
        Variant(row["variant"], row["test"], _BOOLEANS[row["holds"]], row["description"])
        for row in _rows("variants.csv")
    )


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """Every row of the ATC table as written; payor_kind may be `any`."""
    return tuple(
        Rule(
            **_dated(row),
            rule_id=row["rule_id"],
            nature=row["nature"],
            goods_or_services=row["goods_or_services"],
            payee_kind=row["payee_kind"],
            payor_kind=row["payor_kind"],
            variant=row["variant"],
            atc=row["atc"] or None,
            form=row["form"] or None,
            rate=Decimal(row["rate_percent"]) if row["rate_percent"] else None,
            note=row["note"],
        )
        for row in _rows("atc_rules.csv")
    )


@lru_cache(maxsize=256)
def rules_for(nature: str, payee_kind: str, payor_kind: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in rules()
        if rule.nature == nature
        and rule.payee_kind == payee_kind
        and rule.payor_kind in ("any", payor_kind)
    )


@lru_cache(maxsize=1)
def vat_rules() -> tuple[VatRule, ...]:
    return tuple(
        VatRule(
            **_dated(row),
            rule_id=row["rule_id"],
            vat_status=row["vat_status"],
            rate=Decimal(row["rate_percent"]),
            input_vat_allowed=_BOOLEANS[row["input_vat_allowed"]],
            note=row["note"],
        )
        for row in _rows("vat.csv")
    )


@lru_cache(maxsize=1)
def business_tax_rules() -> tuple[BusinessTaxRule, ...]:
    return tuple(
        BusinessTaxRule(
            **_dated(row),
            rule_id=row["rule_id"],
            goods_or_services=row["goods_or_services"],
            vat_status=row["vat_status"],
            atc=row["atc"],
            form=row["form"],
            return_form=row["return_form"],
            rate=Decimal(row["rate_percent"]),
            note=row["note"],
        )
        for row in _rows("business_tax.csv")
    )


@lru_cache(maxsize=1)
def thresholds() -> tuple[Threshold, ...]:
    return tuple(
        Threshold(
            **_dated(row),
            code=row["code"],
            payee_kind=row["payee_kind"],
            amount=Decimal(row["amount"]),
            unit=row["unit"],
            note=row["note"],
        )
        for row in _rows("thresholds.csv")
    )


def threshold(code: str, day: datetime.date, payee_kind: str) -> Threshold | None:
    """The threshold that holds on that day for that kind of payee, or None."""
    for row in thresholds():
        if row.code == code and row.payee_kind in ("any", payee_kind) and row.holds_on(day):
            return row
    return None


@lru_cache(maxsize=1)
def forms() -> tuple[Form, ...]:
    return tuple(
        Form(
            **_dated(row),
            form=row["form"],
            title=row["title"],
            frequency=row["frequency"],
            deadline_rule=row["deadline_rule"],
            attachments=tuple(row["attachments"].split()),
        )
        for row in _rows("forms.csv")
    )


@lru_cache(maxsize=1)
def juridical_words() -> frozenset[str]:
    return frozenset(row["word"] for row in _rows("juridical_words.csv"))


def decision_rows(withheld_only: bool = True) -> list[dict[str, str | None]]:
    """The ATC table flat, for a join in Spark: `payor_kind` is spelled out, never `any`.

    Keys: nature, payee_kind, payor_kind, variant, atc, form, rate (percent as a decimal string),
    valid_from, valid_to (ISO dates, inclusive; None = still valid), source, rule_id. One row at
    most holds for a (nature, payee_kind, payor_kind, variant, date). `withheld_only=False` adds
    the rows that say "nothing is withheld", whose atc, form and rate are None. A combination
    without any row is unknown, not free of tax.
    """
    result = []
    for rule in rules():
        if withheld_only and rule.atc is None:
            continue
        for payor_kind in PAYOR_KINDS if rule.payor_kind == "any" else (rule.payor_kind,):
            result.append(
                {
                    "nature": rule.nature,
                    "payee_kind": rule.payee_kind,
                    "payor_kind": payor_kind,
                    "variant": rule.variant,
                    "atc": rule.atc,
                    "form": rule.form,
                    "rate": None if rule.rate is None else str(rule.rate),
                    "valid_from": rule.valid_from.isoformat(),
                    "valid_to": rule.valid_to.isoformat() if rule.valid_to else None,
                    "source": rule.source,
                    "rule_id": rule.rule_id,
                }
            )
    return result


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """sha256 over names and contents; line ends are unified so that a checkout cannot change it."""
    digest = hashlib.sha256()
    for name in sorted(files):
        content = files[name].replace(b"\r\n", b"\n")
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Hex sha256 of all rule tables of this copy."""
    return fingerprint_of({name: _bytes(name) for name in DATA_FILES})
