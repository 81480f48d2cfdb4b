"""Properties that hold for every amount and every row of the tables."""

import csv
import datetime
import itertools
import random
import subprocess
import sys
import zipfile
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from lib import bir_rules
from lib.bir_rules import PaymentFacts, data, deadline, derive, money, percent_of, split_vat

PACKAGE = Path(bir_rules.__file__).parent
DAY = datetime.date(2025, 8, 15)
CENT = Decimal("0.01")


def centavos(rng):
    return Decimal(rng.randint(-10_000_000, 10_000_000)) / 100


def half_up(value: Fraction) -> Decimal:
    """Independent half-up rounding on exact fractions of centavos."""
    sign = -1 if value < 0 else 1
    return sign * Decimal((abs(value) * 100 * 2 + 1) // 2) / 100


def test_rounding_is_half_up_on_every_centavo():
    rng = random.Random(1)
    for _ in range(3000):
        amount, rate = centavos(rng), Decimal(rng.choice(["0.5", "1", "2", "5", "10", "12", "15"]))
        assert percent_of(amount, rate) == half_up(Fraction(amount) * Fraction(rate) / 100)
    assert money("1.005") == Decimal("1.01") and money("-1.005") == Decimal("-1.01")
    assert money(2.675) == Decimal("2.68") and str(money("-0.001")) == "0.00"


def test_vat_split_adds_up_and_is_nearest():
    rng = random.Random(2)
    for _ in range(3000):
        amount, inclusive = centavos(rng), rng.random() < 0.5
        split = split_vat(amount, inclusive, "vat_registered", DAY)
        assert split.net + split.vat == split.gross
        if inclusive:
            assert split.gross == amount
            assert split.net == half_up(Fraction(amount) * 100 / 112)
        else:
            assert split.net == amount
        assert abs(split.vat - split.net * 12 / 100) <= CENT
        assert bir_rules.vat_line_agrees(split.net, split.vat, "vat_registered", DAY)
        assert not bir_rules.vat_line_agrees(split.net, split.vat + 1, "vat_registered", DAY)


def rent(amount, **more):
    return PaymentFacts(
        DAY, "rent", "corporate", "ordinary", "vat_registered", amount, True, **more
    )


def test_total_is_the_sum_of_the_rounded_lines():
    rng = random.Random(3)
    for _ in range(200):
        answers = [derive(rent(centavos(rng))) for _ in range(rng.randint(1, 12))]
        total = sum(answer.tax for answer in answers)
        assert total == total.quantize(CENT)
        exact = sum(answer.base for answer in answers) * 5 / 100
        assert abs(total - exact) <= Decimal("0.005") * len(answers)


def test_tax_grows_with_the_amount_and_a_refund_mirrors_it():
    rng = random.Random(4)
    amounts = sorted(abs(centavos(rng)) for _ in range(1000))
    taxes = [derive(rent(amount)).tax for amount in amounts]
    assert taxes == sorted(taxes) and taxes[0] < taxes[-1]
    for amount, tax in zip(amounts, taxes, strict=True):
        assert derive(rent(-amount)).tax == -tax


def test_single_purchase_threshold_is_a_step():
    def answer(amount):
        return derive(
            PaymentFacts(
                DAY,
                "goods",
                "corporate",
                "top_withholding_agent",
                "vat_registered",
                Decimal(amount),
                False,
                regular_supplier=False,
            )
        )

    taxes = [answer(Decimal(cents) / 100).tax for cents in range(999_000, 1_001_000, 10)]
    assert taxes == sorted(taxes)
    assert answer("9999.99").withheld is False and answer("10000.00").withheld is True


@pytest.mark.parametrize(
    "name", ["atc_rules.csv", "business_tax.csv", "thresholds.csv", "vat.csv", "forms.csv"]
)
def test_every_rule_row_has_a_source_and_a_validity(name):
    with (PACKAGE / "data" / name).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert rows
    for row in rows:
        assert None not in row, f"too many columns: {row}"
        assert row["source"].strip(), row
        valid_from = datetime.date.fromisoformat(row["valid_from"])
        if row["valid_to"]:
            assert datetime.date.fromisoformat(row["valid_to"]) >= valid_from, row


def overlapping(rows, key):
    """Pairs of rows of one key whose validities share a day."""
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    last = datetime.date.max
    for group in groups.values():
        for one, two in itertools.combinations(group, 2):
            if one.valid_from <= (two.valid_to or last) and two.valid_from <= (
                one.valid_to or last
            ):
                yield one, two


def test_no_validity_overlaps():
    expanded = []
    for rule in data.rules():
        kinds = bir_rules.PAYOR_KINDS if rule.payor_kind == "any" else (rule.payor_kind,)
        expanded += [(kind, rule) for kind in kinds]
    for kind in bir_rules.PAYOR_KINDS:
        rows = [rule for payor, rule in expanded if payor == kind]
        assert not list(overlapping(rows, lambda r: (r.nature, r.payee_kind, r.variant)))
    assert not list(overlapping(data.vat_rules(), lambda r: r.vat_status))
    assert not list(overlapping(data.thresholds(), lambda r: (r.code, r.payee_kind)))
    assert not list(
        overlapping(data.business_tax_rules(), lambda r: (r.goods_or_services, r.vat_status))
    )
    assert not list(overlapping(data.forms(), lambda r: r.form))
    clash = [data.vat_rules()[0], data.vat_rules()[0]]
    assert list(overlapping(clash, lambda r: r.vat_status)), "the check itself must find a clash"


def test_tables_refer_to_each_other():
    natures = {nature.code: nature for nature in data.natures()}
    variants = {variant.variant for variant in data.variants()}
    forms = {form.form for form in data.forms()}
    ids = [rule.rule_id for rule in data.rules()]
    assert len(ids) == len(set(ids))
    for rule in data.rules():
        assert rule.goods_or_services == natures[rule.nature].goods_or_services
        assert rule.payee_kind in bir_rules.PAYEE_KINDS
        assert rule.payor_kind in ("any", *bir_rules.PAYOR_KINDS)
        assert rule.variant in variants
        assert (rule.atc is None) == (rule.rate is None) == (rule.form is None)
        if rule.atc:
            assert rule.atc[:2] == {"individual": "WI", "corporate": "WC"}[rule.payee_kind]
            assert rule.form in forms and Decimal("0") < rule.rate <= Decimal("15")
    for row in data.business_tax_rules():
        assert row.form in forms and row.return_form in forms


def test_decision_rows_agree_with_derive_on_a_grid():
    days = [datetime.date(2018, 1, 1), datetime.date(2025, 10, 9), datetime.date(2025, 10, 10)]
    more = [
        {"regular_supplier": a, "higher_rate": b, "year_to_date": c}
        for a in (True, False, None)
        for b in (True, False, None)
        for c in (None, Decimal("0"), Decimal("400000"))
    ]
    rows = bir_rules.decision_rows(withheld_only=False)
    by_id = {}
    for row in rows:
        by_id.setdefault((row["rule_id"], row["payor_kind"]), row)
    seen = set()
    counts = {True: 0, False: 0, None: 0}
    grid = itertools.product(
        days,
        data.natures(),
        bir_rules.PAYEE_KINDS,
        bir_rules.PAYOR_KINDS,
        bir_rules.VAT_STATUSES,
        ("100", "20000"),
        more,
    )
    for day, nature, payee, payor, vat, amount, options in grid:
        answer = derive(
            PaymentFacts(day, nature.code, payee, payor, vat, Decimal(amount), False, **options)
        )
        counts[answer.withheld] += 1
        if answer.withheld is None:
            continue
        row = by_id[answer.rule_id, payor]
        seen.add((answer.rule_id, payor))
        assert (row["nature"], row["payee_kind"]) == (nature.code, payee)
        assert (row["atc"], row["form"]) == (answer.atc, answer.form)
        assert row["rate"] == (None if answer.rate is None else str(answer.rate))
        assert row["valid_from"] <= day.isoformat() <= (row["valid_to"] or "9999")
        if answer.withheld:
            assert answer.tax == half_up(Fraction(Decimal(amount)) * Fraction(answer.rate) / 100)
    assert all(counts.values()), counts
    assert seen == set(by_id), "every row is reached by some facts"
    assert bir_rules.decision_rows() == [row for row in rows if row["atc"]]


def test_fingerprint_is_stable_and_feels_every_change():
    files = {name: (PACKAGE / "data" / name).read_bytes() for name in data.DATA_FILES}
    assert set(files) == {path.name for path in (PACKAGE / "data").iterdir()}
    assert data.fingerprint_of(files) == bir_rules.fingerprint()
    windows = {name: content.replace(b"\n", b"\r\n") for name, content in files.items()}
    assert data.fingerprint_of(windows) == bir_rules.fingerprint()
    for name, content in files.items():
        changed = dict(files, **{name: content.replace(b"a", b"b", 1)})
        assert changed[name] != content
        assert data.fingerprint_of(changed) != bir_rules.fingerprint(), name


def test_works_from_a_zip_under_its_wheel_name(tmp_path):
    archive = tmp_path / "bir_rules.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        for path in PACKAGE.rglob("*"):
            if path.suffix in (".py", ".csv"):
                wheel.write(path, Path("bir_rules") / path.relative_to(PACKAGE))
    code = "import bir_rules; print(bir_rules.fingerprint(), len(bir_rules.decision_rows()))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(archive)!r}); {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [bir_rules.fingerprint(), str(len(bir_rules.decision_rows()))]


def test_imports_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import bir_rules; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'bir_rules'}))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"amount": 1.5}, TypeError),
        ({"amount": True}, TypeError),
        ({"amount": Decimal("NaN")}, ValueError),
        ({"amount": "1e40"}, ValueError),
        ({"amount": "12,50"}, ValueError),
        ({"payee_kind": "company"}, ValueError),
        ({"payor_kind": "any"}, ValueError),
        ({"vat_status": ""}, ValueError),
        ({"date": datetime.datetime(2025, 1, 1)}, TypeError),
        ({"nature": "Rent"}, ValueError),
    ],
)
def test_facts_outside_the_terms_are_refused(change, error):
    known = dict(
        date=DAY,
        nature="rent",
        payee_kind="corporate",
        payor_kind="ordinary",
        vat_status="exempt",
        amount="1",
        amount_includes_vat=False,
    )
    assert derive(PaymentFacts(**known)).withheld is True
    with pytest.raises(error):
        derive(PaymentFacts(**{**known, **change}))


@pytest.mark.parametrize(
    ("form", "period_end", "due"),
    [
        ("2307", "2025-09-30", "2025-10-20"),
        ("0619-E", "2025-11-30", "2025-12-10"),
        ("1601-EQ", "2025-12-31", "2026-01-31"),
        ("1601-EQ", "2024-01-31", "2024-02-29"),
        ("2550Q", "2025-09-30", "2025-10-25"),
        ("1604-E", "2025-12-31", "2026-03-01"),
        ("1702Q", "2025-03-31", "2025-05-30"),
    ],
)
def test_deadlines(form, period_end, due):
    assert deadline(form, datetime.date.fromisoformat(period_end)).isoformat() == due


def test_deadline_of_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="no deadline rule for form 2316"):
        deadline("2316", DAY)


def test_quarters():
    assert bir_rules.quarter_label(datetime.date(2025, 7, 1)) == "2025-Q3"
    assert bir_rules.quarter_end(datetime.date(2025, 12, 1)) == datetime.date(2025, 12, 31)
    assert bir_rules.quarter_end(datetime.date(2025, 1, 31)) == datetime.date(2025, 3, 31)


def test_money_reference():
    assert money("10.125") == Decimal("10.125").quantize(CENT, ROUND_HALF_UP)
