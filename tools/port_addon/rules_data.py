"""Rules for the manifest, for CSV data files and for translations."""

from __future__ import annotations

import csv
import io
import re

from .rules_xml import GROUPS_MODELS
from .text import Place

_VERSION = re.compile(r"""(["']version["']\s*:\s*["'])(\d+\.\d+)((?:\.\d+)*["'])""")


def manifest_version(text: str, place: Place) -> str:
    """``17.0.x.y.z`` is ``19.0.x.y.z``; Odoo refuses to install another series' version."""
    match = _VERSION.search(text)
    if match is None:
        place.fail(text, 0, "the manifest has no version")
    if match[2] not in ("17.0", "19.0"):
        place.fail(text, match.start(), "the version must begin with 17.0")
    return _VERSION.sub(r"\g<1>19.0\3", text, count=1)


def csv_groups_columns(text: str, place: Place) -> str:
    """The column ``groups_id`` of users, menus, views and actions is ``group_ids``."""
    model = place.path.rsplit("/", 1)[-1].removesuffix(".csv").split("-")[0]
    header, newline, rest = text.partition("\n")
    columns = next(csv.reader(io.StringIO(header)), [])
    if model == "res.groups" and any(re.match(r"(category_id|users)\b", c) for c in columns):
        place.fail(text, 0, "groups with a category or users must be written in XML")
    if model == "ir.cron" and any(re.match(r"(numbercall|doall)\b", c) for c in columns):
        place.fail(text, 0, "crons with numbercall or doall must be written in XML")
    if model not in GROUPS_MODELS:
        return text
    return re.sub(r"\bgroups_id\b", "group_ids", header) + newline + rest


def privilege_translations(text: str, place: Place) -> str:
    """A privilege carries its category's name, so the category's translation is its own too."""
    for category in sorted(place.group_categories):
        xmlid = f"{place.module}.{category}"
        old = f"#: model:ir.module.category,name:{xmlid}\n"
        new = f"#: model:res.groups.privilege,name:{xmlid}_privilege\n"
        if new not in text:
            text = text.replace(old, old + new)
    return text


MANIFEST_RULES = (manifest_version,)
CSV_RULES = (csv_groups_columns,)
PO_RULES = (privilege_translations,)
