"""The evaluation's figures as a table for a terminal."""

from __future__ import annotations

_NAMES = {"majority": "majority", "lookup_svm": "lookup + SVM", "ours": "ours"}
_COLUMNS = (
    ("accuracy", "accuracy"),
    ("macro_f1", "macro-F1"),
    ("vendor_weighted_accuracy", "vendor-weighted"),
    ("accuracy_seen", "seen"),
    ("accuracy_unseen", "unseen"),
    ("ece", "ECE"),
    ("seconds", "seconds"),
)


def table(report: dict) -> str:
    """Text of a report of ml.evaluate.evaluate."""
    first, last = report["years"]
    lines = [
        f"{report['body']}, {report['target']}: {report['rows']:,} rows, {first}-{last}, "
        f"{report['labels']} labels; inputs: {report['inputs']}",
        "label ceiling: "
        + ", ".join(f"{name} {value:.2%}" for name, value in report["label_ceiling"].items()),
        "",
    ]
    split = report["time"]
    lines.append(
        f"split by {split['split']}: train {split['train_rows']:,}, test {split['test_rows']:,} "
        f"rows, {split['seen_share']:.1%} of them with a supplier string seen in training"
    )
    lines += _figures(split["methods"], _COLUMNS)
    lines += ["", "accuracy at coverage", *_curves(split["methods"], "coverage")]
    lines += ["", "accuracy at coverage, unseen strings"]
    lines += _curves(split["methods"], "coverage_unseen")
    if "groups" in report:
        split = report["groups"]
        lines += ["", f"{split['split']}: {split['groups']:,} vendors, {split['test_rows']:,} rows"]
        kept = [c for c in _COLUMNS if c[0] not in ("accuracy_seen", "accuracy_unseen")]
        lines += _figures(split["methods"], kept)
        lines += ["", "accuracy at coverage", *_curves(split["methods"], "coverage")]
    lines += ["", f"{report['seconds']:.0f} s"]
    return "\n".join(lines)


def _figures(methods: dict, columns) -> list[str]:
    lines = [" " * 14 + "".join(f"{title:>18}" for _, title in columns)]
    for name, figures in methods.items():
        cells = [_cell(key, figures.get(key), figures.get(f"{key}_sd")) for key, _ in columns]
        lines.append(f"{_NAMES[name]:<14}" + "".join(f"{cell:>18}" for cell in cells))
    return lines


def _cell(key: str, value: float | None, spread: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:.1f}" if key == "seconds" else f"{value:.4f}"
    return text if spread is None or key == "seconds" else f"{text} ±{spread:.4f}"


def _curves(methods: dict, key: str) -> list[str]:
    shown = {name: figures[key] for name, figures in methods.items() if name != "majority"}
    points = next(iter(shown.values()))
    lines = [" " * 14 + "".join(f"{float(q):>9.0%}" for q in points)]
    for name, curve in shown.items():
        lines.append(f"{_NAMES[name]:<14}" + "".join(f"{value:>9.4f}" for value in curve.values()))
    return lines
