"""The documents behind the exports: vendors, lines, labels and faults as numpy columns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

import numpy as np

SOURCES = ("erp_register", "ph_books", "expense_app")
VAT_STATUSES = ("vat_registered", "non_vat", "zero_rated", "exempt")
MONTH_NAMES = ("January", "February", "March", "April", "May", "June", "July", "August",
               "September", "October", "November", "December")  # fmt: skip


@lru_cache(maxsize=8)
def data(name: str) -> dict | list:
    """A data file of the generator, by its name without the suffix."""
    text = resources.files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text)


@dataclass(frozen=True)
class Options:
    """What to generate. Rates are shares of lines; `start` is the first month, YYYY-MM.

    `lines` counts every exported record, duplicates included.
    """

    seed: int = 7
    companies: int = 3
    months: int = 6
    lines: int = 3000
    start: str = "2025-07"
    vendors_per_kind: int = 8
    rates: dict[str, float] = field(
        default_factory=lambda: {
            "duplicate": 0.02,
            "bad_date": 0.004,
            "missing_vendor": 0.004,
            "negative": 0.004,
            "bad_amount": 0.002,
            "wrong_tin": 0.02,
            "missing_tin": 0.06,
            "vague_text": 0.12,
            "typo": 0.10,
            "mislabelled": 0.02,
            "coded_account": 0.80,
            "coded_nature": 0.65,
        }
    )


@dataclass(frozen=True)
class Vendor:
    """An invented supplier; `kinds` are indexes into vendors.json's kinds."""

    name: str
    tin: str
    vat_status: str
    kinds: tuple[int, ...]


def build_vendors(options: Options) -> list[Vendor]:
    """The vendor master of a seed: `vendors_per_kind` each, and a few that sell of everything."""
    spec = data("vendors")
    rng = np.random.default_rng([options.seed, 1])
    vendors: list[Vendor] = []
    used: set[str] = set()
    for index, kind in enumerate(spec["kinds"]):
        for _ in range(options.vendors_per_kind):
            person = rng.random() < kind["person"]
            name = _name(rng, spec, kind["words"], kind["title"] if person else "", person, used)
            vendors.append(Vendor(name, _tin(rng, person), _vat(rng, kind["vat"]), (index,)))
    goods = [i for i, kind in enumerate(spec["kinds"]) if kind["nature"] in ("goods", "services")]
    for _ in range(spec["general"]["count"]):
        name = _name(rng, spec, spec["general"]["words"], "", False, used)
        chosen = tuple(int(i) for i in rng.choice(goods, size=3, replace=False))
        vendors.append(Vendor(name, _tin(rng, False), _vat(rng, 0.6), chosen))
    return vendors


def _name(rng, spec: dict, words: list[str], title: str, person: bool, used: set[str]) -> str:
    """A name that nobody has yet; a firm whose name is taken goes by initials before it."""
    while True:
        first, second = (chr(ord("A") + int(n)) for n in rng.integers(0, 26, 2))
        if person:
            name = f"{title}{rng.choice(spec['given'])} {first}. {rng.choice(spec['family'])}"
        else:
            name = f"{rng.choice(spec['stems'])} {rng.choice(words)}"
            if name in used:
                name = f"{first}.{second}. {name}"
        if name not in used:
            used.add(name)
            return name


def _tin(rng, person: bool) -> str:
    first = int(rng.integers(1, 10)) if person else 0
    digits = f"{first}{int(rng.integers(10_000_000, 100_000_000))}"
    branch = "00000" if rng.random() < 0.7 else f"{int(rng.integers(1, 40)):05d}"
    return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}-{branch}"


def _vat(rng, share: float) -> str:
    if rng.random() < share:
        return "vat_registered" if rng.random() < 0.94 else "zero_rated"
    return "non_vat" if rng.random() < 0.85 else "exempt"


def build_lines(options: Options) -> dict[str, np.ndarray]:
    """All lines of all companies and months, as equally long numpy arrays (strings as objects).

    Columns: company, month (0-based), day, source, kind (vendor_bill or expense), document_no,
    line_no, vendor, tin, vat_status, text, account, nature, cents (int64), inclusive (bool),
    fault ('' or a name of Options.rates), repeat_of (-1, or the row that this one repeats).
    """
    spec = data("vendors")
    kinds = spec["kinds"]
    vendors = build_vendors(options)
    rng = np.random.default_rng([options.seed, 2])
    count = options.lines
    document = np.cumsum(rng.random(count) < 0.45)
    documents = int(document[-1]) + 1

    weights = np.array([sum(kinds[k]["weight"] for k in v.kinds) / len(v.kinds) for v in vendors])
    popularity = weights * rng.pareto(1.4, len(vendors)).clip(0.05, 20)
    vendor = rng.choice(len(vendors), documents, p=popularity / popularity.sum())[document]
    # A document belongs to one company, month and source; rows are spread evenly over them.
    place = np.sort(rng.integers(0, options.companies * options.months, documents))[document]
    source = rng.choice(3, documents, p=(0.4, 0.32, 0.28))[document]
    is_bill = (rng.random(documents) < 0.72)[document]
    day = rng.integers(1, 29, documents)[document]
    line_no = np.arange(count) - np.searchsorted(document, document) + 1

    kind_of = np.array([list((v.kinds * 3)[:3]) for v in vendors])
    kind = kind_of[vendor, rng.integers(0, 3, count)]
    cents = _cents(rng, kinds, kind)
    lines = {
        "company": place // options.months,
        "month": place % options.months,
        "day": day,
        "source": source,
        "kind": is_bill,
        "document_no": _document_numbers(document, is_bill, source),
        "line_no": line_no,
        "vendor": _take([v.name for v in vendors], vendor),
        "tin": _take([v.tin for v in vendors], vendor),
        "vat_status": _take([v.vat_status for v in vendors], vendor),
        "cents": cents,
        "inclusive": rng.random(count) < 0.6,
        "kind_index": kind,
    }
    lines.update(_texts(rng, options, lines))
    lines.update(_labels(rng, options, kinds, kind))
    return _faults(rng, options, lines)


def _take(values: list[str], index: np.ndarray) -> np.ndarray:
    return np.array(values, dtype=object)[index]


def _document_numbers(document: np.ndarray, is_bill: np.ndarray, source: np.ndarray) -> np.ndarray:
    prefix = np.where(is_bill, np.array(["BILL", "SI", "AP"])[source],
                      np.array(["EXP", "PCF", "RCPT"])[source])  # fmt: skip
    numbers = np.char.add(np.char.add(prefix, "-"), np.char.zfill(document.astype(str), 7))
    return numbers.astype(object)


def _cents(rng, kinds: list[dict], kind: np.ndarray) -> np.ndarray:
    mean = np.array([k["amount"][0] for k in kinds])[kind]
    spread = np.array([k["amount"][1] for k in kinds])[kind]
    pesos = np.exp(rng.normal(mean, spread)).clip(20, 25_000_000)
    rounded = np.where(rng.random(len(kind)) < 0.35, np.round(pesos, -2) + 100, pesos)
    return np.round(rounded * 100).astype(np.int64)


def _texts(rng, options: Options, lines: dict) -> dict[str, np.ndarray]:
    """Descriptions: a phrase of the kind (or a vague one), a tail, slots filled, some typos."""
    phrases = data("phrases")
    kinds = data("vendors")["kinds"]
    count = len(lines["kind_index"])
    pool = np.array([phrases["kinds"][k["kind"]] + phrases["vague"] for k in kinds], dtype=object)
    vague = rng.random(count) < options.rates["vague_text"]
    own = rng.random(count)
    tails = phrases["tails"]
    tail = rng.integers(0, len(tails), count)
    number = rng.integers(100, 9999, count)
    slot = {name: rng.integers(0, len(v), count) for name, v in phrases["slots"].items()}
    case = rng.integers(0, 10, count)
    typo = rng.random(count) < options.rates["typo"]
    position = rng.random(count)
    first_month = int(options.start[5:]) - 1
    year = int(options.start[:4])
    texts = np.empty(count, dtype=object)
    vague_count = len(phrases["vague"])
    slot_values = phrases["slots"]
    kind, months = lines["kind_index"], lines["month"]
    for i in range(count):
        choices = pool[kind[i]]
        size = len(choices) - vague_count
        at = size + int(own[i] * vague_count) if vague[i] else int(own[i] * size)
        text = f"{choices[at]} {tails[tail[i]]}".rstrip()
        if "{" in text:
            month = first_month + int(months[i])
            values = {name: v[slot[name][i]] for name, v in slot_values.items()}
            values.update(mon=MONTH_NAMES[month % 12][:3], year=year + month // 12, n=number[i])
            values["ref"] = values["ref"].replace("{n}", str(number[i]))
            text = text.format_map(values)
        if typo[i] and len(text) > 6:
            text = _typo(text, position[i])
        texts[i] = text.upper() if case[i] < 2 else text.capitalize() if case[i] < 5 else text
    return {"text": texts}


def _typo(text: str, position: float) -> str:
    at = 1 + int(position * (len(text) - 3))
    if position < 0.5:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _labels(rng, options: Options, kinds: list[dict], kind: np.ndarray) -> dict[str, np.ndarray]:
    """Codes that accountants gave to part of the rows, a few of them wrong."""
    count = len(kind)
    wrong = rng.random(count) < options.rates["mislabelled"]
    label = np.where(wrong, rng.integers(0, len(kinds), count), kind)
    account = _take([k["category"] for k in kinds], label)
    nature = _take([k["nature"] for k in kinds], label)
    account[rng.random(count) >= options.rates["coded_account"]] = None
    nature[rng.random(count) >= options.rates["coded_nature"]] = None
    return {"account": account, "nature": nature}


def _faults(rng, options: Options, lines: dict) -> dict[str, np.ndarray]:
    """At most one fault a line; a duplicate repeats an earlier line of the same month."""
    count = options.lines
    names = ("bad_date", "missing_vendor", "negative", "bad_amount", "wrong_tin", "missing_tin")
    draw = rng.random(count)
    fault = np.full(count, "", dtype=object)
    low = 0.0
    for name in names:
        high = low + options.rates[name]
        fault[(draw >= low) & (draw < high)] = name
        low = high
    repeat = (draw >= low) & (draw < low + options.rates["duplicate"])
    repeat[0] = False
    origin = np.where(repeat, np.maximum(np.arange(count) - rng.integers(1, 30, count), 0), -1)
    # A repeat of a repeat would be a third copy of the first line; that is wanted now and then.
    for name, column in lines.items():
        lines[name] = np.where(origin >= 0, column[np.maximum(origin, 0)], column)
    corrected = (origin >= 0) & (rng.random(count) < 0.3)
    lines["cents"] = np.where(corrected, lines["cents"] + 100, lines["cents"])
    lines["fault"] = np.where(origin >= 0, "", fault)
    lines["repeat_of"] = origin
    return lines
