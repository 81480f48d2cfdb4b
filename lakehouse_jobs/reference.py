"""Small facts that the exports do not carry: which companies are ours, and their kind as payor."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path


def payor_kinds(file: Path | None = None) -> dict[str, str]:
    """Company code -> ordinary, top_withholding_agent or government.

    `file`: JSON list of {code, name, payor_kind}; without it the companies of the generator.
    """
    if file is None:
        folder = resources.files(f"{__package__}.generator")
        text = folder.joinpath("companies.json").read_text(encoding="utf-8")
    else:
        text = file.read_text(encoding="utf-8")
    return {company["code"]: company["payor_kind"] for company in json.loads(text)}
