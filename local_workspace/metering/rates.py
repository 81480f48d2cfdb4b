"""What a second of work costs: SKUs with DBU rates and simulated prices, all named LOCAL_."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

FILE = Path(__file__).with_name("rates.json")
PRODUCTS = ("SQL", "JOBS", "DLT", "MODEL_SERVING", "ALL_PURPOSE")
HOUR_MS = 3_600_000
# Eighteen decimals, as the columns of the tables have.
QUANTUM = Decimal(1).scaleb(-18)


@dataclass(frozen=True)
class Period:
    """An amount from ``start_ms`` on, until ``end_ms`` (milliseconds; None: still so)."""

    start_ms: int
    end_ms: int | None
    amount: Decimal

    def holds(self, moment_ms: int) -> bool:
        return self.start_ms <= moment_ms and (self.end_ms is None or moment_ms < self.end_ms)


@dataclass(frozen=True)
class Sku:
    """What a kind of compute of a product is billed as; prices for one DBU."""

    name: str
    product: str
    serverless: bool
    rates: tuple[Period, ...]
    prices: tuple[Period, ...]

    def quantity(self, start_ms: int, end_ms: int) -> Decimal:
        """DBU of an interval, by the rate at its start (the first rate for what is older)."""
        rate = next((p for p in self.rates if p.holds(start_ms)), self.rates[0])
        return (Decimal(end_ms - start_ms) / HOUR_MS * rate.amount).quantize(QUANTUM)


class Rates:
    """The table of rates, read once."""

    def __init__(self, file: Path = FILE) -> None:
        given = json.loads(file.read_text(encoding="utf-8"))
        self.currency: str = given["currency"]
        self.skus = tuple(
            Sku(
                item["sku_name"],
                item["product"],
                item["serverless"],
                _periods(item["dbu_per_hour"], "rate"),
                _periods(item["price_per_dbu"], "price"),
            )
            for item in given["skus"]
        )

    def sku(self, product: str, metadata: dict) -> Sku:
        """The SKU of a piece of work: serverless unless a cluster did it, where there are both."""
        mine = [sku for sku in self.skus if sku.product == product]
        wanted = not metadata.get("cluster_id")
        return next((sku for sku in mine if sku.serverless is wanted), mine[0])


def _periods(given: list[dict], amount: str) -> tuple[Period, ...]:
    return tuple(
        Period(
            _midnight(item["from"]),
            _midnight(item["to"]) if "to" in item else None,
            Decimal(item[amount]),
        )
        for item in given
    )


def _midnight(day: str) -> int:
    moment = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC)
    return int(moment.timestamp() * 1000)


def by_hour(start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """An interval cut at each full hour (UTC), as usage is billed; at least one piece."""
    pieces = []
    while True:
        boundary = (start_ms // HOUR_MS + 1) * HOUR_MS
        if end_ms <= boundary:
            pieces.append((start_ms, end_ms))
            return pieces
        pieces.append((start_ms, boundary))
        start_ms = boundary
