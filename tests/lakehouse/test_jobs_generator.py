"""The generator: reproducible, and as faulty as real exports are."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from lakehouse_jobs.generator import Options, add_broken, build_lines, write_exports
from lakehouse_jobs.generator.__main__ import main

SMALL = Options(seed=7, companies=3, months=2, lines=1200)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.zip")}


def _members(folder: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                texts.setdefault(name, []).append(archive.read(name).decode())
    return texts


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_exports(tmp_path / name, Options(seed=seed, companies=3, months=2, lines=1200))
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    assert len(_bytes(tmp_path / "a")) == 6
    assert _bytes(tmp_path / "a") != _bytes(tmp_path / "c")


def test_every_line_is_in_one_file(tmp_path):
    write_exports(tmp_path, SMALL)
    records = 0
    for name, texts in _members(tmp_path).items():
        for text in texts:
            if name.endswith(".csv"):
                records += len(list(csv.reader(io.StringIO(text, newline="")))) - 1
            else:
                records += len([json.loads(line) for line in text.splitlines()])
    assert records == SMALL.lines


def test_three_header_styles_one_of_them_philippine(tmp_path):
    write_exports(tmp_path, SMALL)
    members = _members(tmp_path)
    assert len(members) == 3
    books = members["Books/purchase_and_petty_cash.csv"][0].splitlines()[0]
    for word in ("OR No.", "TIN", "Particulars", "Petsa"):
        assert word in books
    assert "Document Date" in members["ERP/register_lines.csv"][0].splitlines()[0]
    assert "issuedAt" in members["ExpenseApp/lines.jsonl"][0].splitlines()[0]


@pytest.mark.parametrize(
    "fault", ["bad_date", "missing_vendor", "negative", "bad_amount", "wrong_tin", "missing_tin"]
)
def test_faults_occur_near_their_rate(fault):
    options = Options(lines=40_000)
    lines = build_lines(options)
    share = (lines["fault"] == fault).mean()
    assert options.rates[fault] * 0.7 < share < options.rates[fault] * 1.3


def test_duplicates_repeat_the_document_line_and_labels_cover_part_of_the_rows():
    options = Options(lines=20_000)
    lines = build_lines(options)
    repeats = [i for i in range(options.lines) if lines["repeat_of"][i] >= 0]
    assert 0.01 < len(repeats) / options.lines < 0.03
    first = repeats[0]
    origin = lines["repeat_of"][first]
    assert lines["document_no"][first] == lines["document_no"][origin]
    assert lines["line_no"][first] == lines["line_no"][origin]
    coded = sum(nature is not None for nature in lines["nature"]) / options.lines
    assert 0.6 < coded < 0.7
    assert len(set(lines["text"])) > options.lines / 4


def test_broken_files_are_named_with_their_fault(tmp_path):
    faults = add_broken(tmp_path, long_line=2000)
    assert set(faults.values()) >= {"empty file", "unreadable ZIP", "not UTF-8", "line too long"}
    for name in faults:
        archive, _, member = name.partition("!")
        assert (tmp_path / archive).is_file()
        if member:
            assert member in zipfile.ZipFile(tmp_path / archive).namelist()


def test_command_line_reports_what_it_wrote(tmp_path, capsys):
    assert main(["--out", str(tmp_path), "--lines", "300", "--months", "1", "--broken"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == 3
    assert report["lines"] == 300
    assert report["bytes"] == sum(len(b) for n, b in _bytes(tmp_path).items() if "BROKEN" not in n)


def test_too_many_companies_are_refused(tmp_path):
    with pytest.raises(ValueError, match="companies must be 1 to 3"):
        write_exports(tmp_path, Options(companies=9))
