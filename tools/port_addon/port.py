"""The port of the addon: a copy, our rules on it, Odoo's ``upgrade_code``, a last look.

Our rules come first: ``upgrade_code`` renames only the last ``tree`` of a line, which breaks
``<tree>...</tree>`` written in one line, and after it line numbers are no longer the source's.
"""

from __future__ import annotations

import ast
import fcntl
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import rules_data, rules_python, rules_xml
from .checks import first_unportable, leftovers
from .text import Place, PortError
from .upgrade_code import Odoo19, upgrade_code
from .xml_text import Document, record_field

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
RULES = {
    ".py": rules_python.RULES,
    ".xml": rules_xml.RULES,
    ".csv": rules_data.CSV_RULES,
    ".po": rules_data.PO_RULES,
    ".pot": rules_data.PO_RULES,
}


@dataclass(frozen=True)
class Ported:
    """What a port did: the target, how many files it holds, and the names of those rewritten."""

    target: Path
    files: int
    rewritten: tuple[str, ...]


def port(source: Path, target: Path, odoo: Odoo19) -> Ported:
    """Make ``target`` the 19.0 build of the 17.0 addon ``source``.

    The target is made afresh beside its place and then moved there, so that a port that fails
    leaves the previous one as it was. Files that no rule changes are copied byte by byte. Raises
    PortError, with file and line, for what cannot be ported; UpgradeCodeError when Odoo's command
    fails; FileNotFoundError when ``source`` is no addon.
    """
    source, target = Path(source).resolve(), Path(target).absolute()
    if not (source / "__manifest__.py").is_file():
        raise FileNotFoundError(f"no addon (no __manifest__.py) at {source}")
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in addon_files(source):
        error = first_unportable(_read(path), str(path.relative_to(source)))
        if error:
            raise error
    with (
        _alone(target.parent),
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as staging,
    ):
        copy = Path(staging) / target.name
        shutil.copytree(source, copy, ignore=IGNORED)
        apply_rules(copy)
        upgrade_code(odoo, Path(staging), copy.name)
        check(copy)
        files = [path.relative_to(copy) for path in copy.rglob("*") if path.is_file()]
        rewritten = [n for n in files if (copy / n).read_bytes() != (source / n).read_bytes()]
        _put(copy, target, Path(staging) / "previous")
    return Ported(target, len(files), tuple(sorted(map(str, rewritten))))


def apply_rules(addon: Path) -> set[str]:
    """Apply our rules to every file of an addon in place; the names of the files that changed."""
    module = addon.name
    place = survey(addon, module)
    changed = set()
    for path in addon_files(addon):
        name = str(path.relative_to(addon))
        old = _read(path)
        new = port_text(old, Place(name, *place))
        if new != old:
            path.write_bytes(new.encode())
            changed.add(name)
    return changed


def port_text(text: str, place: Place) -> str:
    """One file's text after all rules for its kind."""
    suffix = Path(place.path).suffix
    rules = RULES[suffix]
    if place.path == "__manifest__.py":
        rules = (*rules_data.MANIFEST_RULES, *rules)
    for rule in rules:
        text = rule(text, place)
    return text


def check(addon: Path) -> None:
    """Raise the first PortError for what is left of 17.0 in a ported addon."""
    for path in addon_files(addon):
        for error in leftovers(_read(path), str(path.relative_to(addon))):
            raise error


def addon_files(addon: Path) -> list[Path]:
    """The files that rules look at, in a fixed order."""
    return sorted(
        path
        for path in addon.rglob("*")
        if path.suffix in RULES and path.is_file() and "__pycache__" not in path.parts
    )


def survey(addon: Path, module: str) -> tuple:
    """What rules must know of the whole addon: the fields of Place behind ``path``."""
    categories, group_categories, own_fields = {}, set(), set()
    for path in addon_files(addon):
        if path.suffix == ".xml":
            document = Document(_read(path), str(path.relative_to(addon)))
            for record in document.records("ir.module.category"):
                own = (record.get("id") or "").removeprefix(f"{module}.")
                categories[own] = (
                    _raw_field(document, record, "name") or own,
                    _raw_field(document, record, "sequence"),
                )
            for record in document.records("res.groups"):
                element = record_field(record, "category_id") or record_field(
                    record, "privilege_id"
                )
                if element is not None and element.get("ref"):
                    reference = element.get("ref").removeprefix(f"{module}.")
                    group_categories.add(reference.removesuffix("_privilege"))
        elif path.suffix == ".py":
            own_fields |= set(re.findall(r"^\s+(\w+)\s*=\s*fields\.", _read(path), re.MULTILINE))
    return module, categories, frozenset(group_categories & set(categories)), frozenset(own_fields)


def _raw_field(document: Document, record, name: str) -> str | None:
    """A field's text as written (entities kept), or its literal eval."""
    element = record_field(record, name)
    if element is None:
        return None
    if element.get("eval"):
        return str(ast.literal_eval(element.get("eval")))
    if element.close_start is None:
        return None
    return document.text[element.open_end : element.close_start]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise PortError(str(path), 1, f"not UTF-8: {error}") from error


@contextmanager
def _alone(folder: Path):
    """Two ports into one folder wait for each other."""
    handle = os.open(folder / ".port.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _put(copy: Path, target: Path, aside: Path) -> None:
    """Move the finished copy to its place; put the previous one back when that fails."""
    had = target.exists()
    if had:
        target.rename(aside)
    try:
        copy.rename(target)
    except OSError:
        if had:
            aside.rename(target)
        raise
