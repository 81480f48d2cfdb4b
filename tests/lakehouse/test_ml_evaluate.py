"""python -m ml.evaluate on a small invented folder of the same layout."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml import evaluate
from ml.reference import Guess, lookup_svm, majority
from ml.scoring import calibration_error, coverage_curve, score
from ml.spend_data import FILE, DataError, group_splits, label_ceiling, read_cards, time_split

KINDS = {
    "Food": ["CAFE", "GRILL", "BAKERY"],
    "Fuel": ["PETROL", "GAS STATION"],
    "Hardware": ["HARDWARE", "TOOLS"],
}


def write_cards(folder: Path, rows: int = 900, **changes) -> Path:
    """Invented payments of 2021-2023 in the layout of the labelled file."""
    rng = np.random.default_rng(4)
    stems = [f"{a}{b}" for a in ("LUN", "KIS", "TAL", "BUK") for b in ("TIAN", "LAP", "AWA", "ORO")]
    out = []
    for _ in range(rows):
        label = str(rng.choice(list(KINDS), p=[0.6, 0.25, 0.15]))
        name = f"{rng.choice(stems)} {rng.choice(KINDS[label])} {rng.integers(1, 9)}"
        period = f"{rng.integers(2021, 2024)}-{rng.integers(1, 13):02d}-card"
        out.append(("calderdale", period, name, "x", label, "y", "1.00"))
    out += [("elsewhere", "2023-01-card", "OTHER", "x", "Food", "y", "1.00")] * 5
    out += [("calderdale", "2023-01-card", "NO LABEL", "x", None, "y", "1.00")] * 5
    columns = ["body", "period", "supplier", "merchant_category", "merchant_category_group"]
    frame = pd.DataFrame(out, columns=[*columns, "expense_type", "amount"]).assign(**changes)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / FILE, index=False)
    return folder


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> pd.DataFrame:
    folder = write_cards(tmp_path_factory.mktemp("cards"))
    return read_cards(folder, "calderdale", "merchant_category_group")


def test_only_labelled_rows_of_the_body_are_read(cards):
    assert len(cards) == 900
    assert sorted(cards.label.unique()) == sorted(KINDS)
    assert cards.year.min() == 2021 and cards.year.max() == 2023
    assert cards.time.between(2021, 2024, inclusive="left").all()


def test_splits_are_by_time_and_by_whole_vendors(cards):
    split = time_split(cards, 2023)
    assert cards.year.iloc[split.train].max() == 2022
    assert cards.year.iloc[split.test].min() == 2023
    tested = []
    for fold in group_splits(cards.vendor, 5, seed=2):
        tested += fold.test.tolist()
        assert not set(cards.vendor.iloc[fold.train]) & set(cards.vendor.iloc[fold.test])
    assert sorted(tested) == list(range(len(cards)))
    other = [f.test.tolist() for f in group_splits(cards.vendor, 5, seed=3)]
    assert other != [f.test.tolist() for f in group_splits(cards.vendor, 5, seed=2)]


def test_scores_by_hand():
    test = pd.DataFrame(
        {"label": ["a", "a", "a", "b"], "vendor": ["v", "v", "v", "w"], "cleaned": list("vvvw")}
    )
    guess = Guess(np.array(["a", "a", "b", "b"]), np.array([0.9, 0.8, 0.6, 0.7]), True)
    figures = score(test, guess, np.array([True, True, True, False]))
    assert figures["accuracy"] == 0.75
    assert figures["vendor_weighted_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures["accuracy_seen"] == pytest.approx(2 / 3)
    assert figures["accuracy_unseen"] == 1.0
    assert figures["coverage"]["0.5"] == 1.0 and figures["coverage"]["1"] == 0.75
    assert figures["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4)
    assert calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0.0
    assert coverage_curve(np.array([]), np.array([], dtype=bool)) == {}


def test_the_references(cards):
    split = time_split(cards, 2023)
    train, test = cards.iloc[split.train], cards.iloc[split.test]
    assert set(majority(train, test).labels) == {"Food"}
    guess = lookup_svm(train, test)
    known = test.cleaned.isin(set(train.cleaned)).to_numpy()
    assert known.any()
    assert guess.confidences[known].min() > guess.confidences[~known].max(initial=0)
    history = train.groupby("cleaned").label.agg(lambda v: v.value_counts().index[0])
    assert (guess.labels[known] == test.cleaned[known].map(history)).all()


def test_label_ceiling():
    frame = pd.DataFrame({"cleaned": ["a", "a", "a", "b"], "label": ["x", "x", "y", "y"]})
    assert label_ceiling(frame, "cleaned") == 0.75


def run(folder: Path, out: Path, *options: str) -> int:
    return evaluate.main(["category", "--data", str(folder), "--json", str(out), *options])


def test_a_whole_report(tmp_path, capsys):
    folder = write_cards(tmp_path / "data")
    out = tmp_path / "out" / "report.json"
    assert run(folder, out, "--seeds", "2", "--folds", "3", "--jobs", "1") == 0
    report = json.loads(out.read_text())
    assert report["time"]["split"] == "time, test from 2023"
    for part in ("time", "groups"):
        methods = report[part]["methods"]
        assert set(methods) == {"majority", "lookup_svm", "ours"}
        assert methods["ours"]["accuracy"] > methods["majority"]["accuracy"]
        for figures in methods.values():
            assert 0 <= figures["accuracy"] <= 1 and 0 <= figures["macro_f1"] <= 1
    assert len(report["groups"]["methods"]["ours"]["seeds"]) == 2
    assert report["time"]["methods"]["lookup_svm"]["ece"] is None
    shown = capsys.readouterr().out
    assert "lookup + SVM" in shown and "label ceiling" in shown


def test_two_runs_give_the_same_figures(tmp_path):
    folder = write_cards(tmp_path / "data", rows=400)
    reports = []
    for name in ("one.json", "two.json"):
        assert run(folder, tmp_path / name, "--seeds", "1", "--folds", "2", "--jobs", "1") == 0
        reports.append(json.loads((tmp_path / name).read_text()))
    for report in reports:
        report.pop("seconds")
        for part in ("time", "groups"):
            for figures in report[part]["methods"].values():
                figures.pop("seconds")
                figures.pop("seconds_sd", None)
                for row in figures.get("seeds", []):
                    row.pop("seconds")
    assert reports[0] == reports[1]


def test_years_and_split_year_come_from_the_data_or_the_caller(tmp_path):
    folder = write_cards(tmp_path / "data", rows=300)
    out = tmp_path / "r.json"
    assert run(folder, out, "--seeds", "0", "--last-year", "2022") == 0
    report = json.loads(out.read_text())
    assert report["years"] == [2021, 2022] and "2022" in report["time"]["split"]
    assert "groups" not in report
    assert run(folder, out, "--seeds", "0", "--split-year", "2022") == 0
    assert json.loads(out.read_text())["years"] == [2021, 2023]


@pytest.mark.parametrize(
    ("prepare", "options", "says"),
    [
        (lambda folder: folder.mkdir(), (), "no file"),
        (lambda folder: write_cards(folder, body="x"), (), "no labelled row"),
        (lambda folder: write_cards(folder, period="May"), (), "does not begin with a year"),
        (write_cards, ("--target", "colour"), "lacks the columns"),
        (write_cards, ("--split-year", "1999"), "leaves no row"),
        (write_cards, ("--last-year", "1999"), "no row up to"),
    ],
)
def test_bad_data_is_said_plainly(tmp_path, capsys, prepare, options, says):
    folder = tmp_path / "data"
    prepare(folder)
    assert run(folder, tmp_path / "r.json", *options) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


def test_too_few_vendors_for_the_folds(cards):
    with pytest.raises(DataError, match="cannot be split"):
        list(group_splits(cards.vendor.iloc[:3], 5, seed=0))


@pytest.mark.skipif(
    not os.environ.get("SPEND_CARDS_DIR"), reason="SPEND_CARDS_DIR names no folder of payments"
)
def test_better_than_lookup_and_svm_on_real_payments(tmp_path):
    folder = Path(os.environ["SPEND_CARDS_DIR"])
    out = tmp_path / "r.json"
    assert run(folder, out, "--seeds", "0") == 0
    methods = json.loads(out.read_text())["time"]["methods"]
    assert methods["ours"]["accuracy"] > methods["lookup_svm"]["accuracy"]
    assert methods["ours"]["macro_f1"] > methods["lookup_svm"]["macro_f1"]
