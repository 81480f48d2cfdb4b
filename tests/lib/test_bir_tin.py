"""TINs as receipts print them, and what a name says of its bearer."""

import pytest
from lib.bir_rules import parse_tin, payee_kind_from_name


@pytest.mark.parametrize(
    ("text", "shown", "vat"),
    [
        ("123-456-789", "123-456-789", None),
        ("123-456-789-000", "123-456-789-00000", None),
        ("123-456-789-00012", "123-456-789-00012", None),
        ("123456789", "123-456-789", None),
        ("12345678900012", "123-456-789-00012", None),
        ("123456789-0001", "123-456-789-00001", None),
        ("123 456 789 000", "123-456-789-00000", None),
        ("TIN: 123.456.789.000", "123-456-789-00000", None),
        ("VAT REG TIN: 123-456-789-000", "123-456-789-00000", True),
        ("NON-VAT REG. TIN 123-456-789-000", "123-456-789-00000", False),
        ("123-456-789-000V", "123-456-789-00000", True),
        ("123-456-789-000 NV", "123-456-789-00000", False),
        ("123-456-789-000NV", "123-456-789-00000", False),
        ("NONVAT 123-456-789", "123-456-789", False),
    ],
)
def test_tin(text, shown, vat):
    tin = parse_tin(text)
    assert (tin.text, tin.vat_registered) == (shown, vat)
    assert tin.digits == shown.replace("-", "")
    assert parse_tin(tin.text) == parse_tin(tin.digits)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "TIN",
        "12345678",
        "1234567890",
        "12345678901",
        "123-456-78",
        "123-456-789-12",
        "123-456-789-123456",
        "12-3456-789",
        "000-000-000",
        "000000000000",
        "123-456-789 and 987-654-321",
        "١٢٣٤٥٦٧٨٩",
    ],
)
def test_no_tin(text):
    assert parse_tin(text) is None


def test_first_digit_tells_a_business():
    assert parse_tin("012-345-678").is_business is True
    assert parse_tin("123-456-789").is_business is False


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Sampaguita Trading Inc.", "corporate"),
        ("MAYON HARDWARE CORPORATION", "corporate"),
        ("Lim & Co.", "corporate"),
        ("Banahaw Foods, Co., Ltd", "corporate"),
        ("Reyes Consulting O.P.C.", "corporate"),
        ("Bukid Farmers Coop", "corporate"),
        ("Juan dela Cruz", "individual"),
        ("Co, Maria", "individual"),
        ("Corpuz, Ana", "individual"),
        ("Incognito Cafe", "individual"),
        ("Peña Niño", "individual"),
        ("", None),
        (None, None),
        ("12345", None),
    ],
)
def test_payee_kind(name, kind):
    assert payee_kind_from_name(name) == kind
