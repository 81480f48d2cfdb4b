"""Vendor names at their grains, and the classifier that is evaluated and served."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.text_classifier import TextClassifier
from ml.vendor_memory import MemorySettings
from ml.vendor_text import beginnings, description_text, spelling, upper_text, vendor_key

KINDS = {
    "food": ["CAFE", "GRILL", "BAKERY", "PANCIT HOUSE"],
    "fuel": ["PETROL STATION", "FUEL STOP", "GAS STATION"],
    "rent": ["REALTY CORP", "PROPERTIES INC", "LAND HOLDINGS"],
}
STEMS = ["LUNTIAN", "HABAGAT", "TALA", "BUKAL", "AMIHAN", "SILANG", "KISLAP", "DALISAY"]


def training_rows() -> tuple[list[str], list[str]]:
    vendors, labels = [], []
    for label, words in KINDS.items():
        for stem in STEMS[:6]:
            for word in words:
                vendors += [f"{stem} {word}"] * 2
                labels += [label] * 2
    return vendors, labels


@pytest.fixture(scope="module")
def model() -> TextClassifier:
    return TextClassifier().fit(*training_rows())


@pytest.mark.parametrize(
    ("written", "spelled", "key"),
    [
        ("BAZAAR MKTP UK*M21BV0S44", "BAZAAR MKTP UK*#", "BAZAAR MKTP UK"),
        ("Bazaar.co.uk*MT3NR2814 BA", "Bazaar.co.uk*# BA", "BAZAAR BA"),
        ("SQ *BRAND55", "SQ *BRAND", "BRAND"),
        ("PAYPAL *KISLAP LTD", "PAYPAL *KISLAP LTD", "KISLAP"),
        ("MARKET STORE 2617", "MARKET STORE", "MARKET STORE"),
        ("WWW.TALA.COM.PH", "WWW.TALA.COM.PH", "TALA"),
        ("Luntian's Grill, Inc.", "Luntian's Grill, Inc.", "LUNTIANS GRILL"),
        ("  peñafrancia   trading  ", "peñafrancia trading", "PENAFRANCIA TRADING"),
        ("THE COMPANY", "THE COMPANY", "THE COMPANY"),
        ("", "", ""),
        (None, "", ""),
        (math.nan, "", ""),
        ("12345", "", ""),
    ],
)
def test_grains_of_a_name(written, spelled, key):
    assert spelling(written) == spelled
    assert vendor_key(written) == key


def test_letter_case_is_kept_in_the_spelling_only():
    assert spelling("Tala Shop") != spelling("TALA SHOP")
    assert upper_text(spelling("Tala Shop")) == upper_text(spelling("TALA SHOP"))


def test_beginnings_and_description():
    assert beginnings("TALA SHOP NORTH") == ("TALA", "TALA SHOP", "TALAS", "TALASHOPN")
    assert beginnings("") == ("", "", "", "")
    assert description_text("Upa sa opisina, 2 mos. (PO-77)") == "UPA SA OPISINA MOS PO"


def test_very_long_names_are_cut():
    assert len(spelling("A" * 1_000_000)) == 200
    assert len(description_text("B" * 1_000_000)) == 1000


def test_known_and_unseen_vendors(model):
    assert model.predict(["LUNTIAN CAFE"])[0] == "food"
    unseen = ["DALISAY GRILL", "KISLAP FUEL STOP", "DALISAY REALTY CORP"]
    assert model.predict(unseen).tolist() == ["food", "fuel", "rent"]
    assert model.knows(["Luntian Cafe", "DALISAY GRILL", ""]).tolist() == [True, False, False]


def test_probabilities_are_probabilities(model):
    probabilities = model.predict_proba(["LUNTIAN CAFE", "QQQQ", "", None, "\x00\ud800"])
    assert probabilities.shape == (5, 3)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert model.predict_proba([]).shape == (0, 3)


def test_no_value_below_the_floor_and_none_without_letters(model):
    strict = TextClassifier(floor=1.0).fit(*training_rows())
    answer = strict.answers(["DALISAY GRILL"])[0]
    assert answer.value is None
    assert 0.5 < answer.confidence < 1.0
    for blank in ("", None, "123", "渋谷"):
        answer = model.answers([blank])[0]
        assert (answer.value, answer.confidence) == (None, 0.0)


def test_more_history_gives_more_confidence():
    vendors, labels = training_rows()
    sure = []
    for times in (1, 5, 50):
        fitted = TextClassifier().fit(vendors + ["QZX"] * times, labels + ["rent"] * times)
        sure.append(fitted.predict_proba(["QZX"])[0][2])
    assert sure == sorted(sure)
    assert sure[-1] > 0.95


def test_the_newer_label_wins_only_where_times_are_known():
    vendors, labels = training_rows()
    vendors += ["QZX"] * 12
    labels += ["rent"] * 8 + ["food"] * 4
    years = [2024.0] * (len(labels) - 12) + [2023.0] * 8 + [2024.5] * 4
    assert TextClassifier().fit(vendors, labels, years=years).predict(["QZX"])[0] == "food"
    assert TextClassifier().fit(vendors, labels).predict(["QZX"])[0] == "rent"


def test_a_vendor_away_for_years_is_not_forgotten():
    vendors, labels = training_rows()
    years = [2015.0] + [2025.0] * (len(labels) - 1)
    memory = MemorySettings(half_life=0.1)
    old = TextClassifier(memory=memory).fit(
        ["QZX"] * 20 + vendors, ["rent"] * 20 + labels, years=[2015.0] * 20 + years[: len(labels)]
    )
    assert old.predict_proba(["QZX"])[0][2] > 0.85


def test_a_description_tells_the_lines_of_one_vendor_apart():
    vendors, labels = training_rows()
    about = ["" for _ in labels]
    for n in range(20):
        vendors += ["QZX VENTURES"] * 2
        labels += ["rent", "food"]
        about += [f"office space lease no {n}", f"packed lunch for staff {n}"]
    fitted = TextClassifier().fit(vendors, labels, about)
    asked = ["lease of office space", "lunch for the staff meeting"]
    assert fitted.predict(["QZX VENTURES"] * 2, asked).tolist() == ["rent", "food"]
    assert fitted.predict(["NEVER MET"] * 2, asked).tolist() == ["rent", "food"]


def test_same_rows_in_another_run_give_the_same_numbers():
    vendors, labels = training_rows()
    one, two = (TextClassifier(seed=5).fit(vendors, labels) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(vendors), two.predict_proba(vendors))


@pytest.mark.parametrize(
    ("vendors", "labels"),
    [(["A B"], ["x"]), (["A B", "A B"], ["x", "y"]), (["", None], ["x", "y"])],
)
def test_tiny_training_sets_work(vendors, labels):
    fitted = TextClassifier().fit(vendors, labels)
    assert fitted.predict_proba(["A B"]).sum() == pytest.approx(1.0)


def test_refusals():
    with pytest.raises(ValueError, match="no labelled line"):
        TextClassifier().fit([], [])
    with pytest.raises(ValueError, match="needs a label"):
        TextClassifier().fit(["A"], [None])
    with pytest.raises(ValueError, match="floor"):
        TextClassifier(floor=1.5)
    with pytest.raises(ValueError, match="differ in number"):
        TextClassifier().fit(["A", "B"], ["x", "y"], ["one"])
