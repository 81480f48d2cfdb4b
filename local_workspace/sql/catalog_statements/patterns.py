"""The patterns of names: those of SHOW statements, and those of SQL's LIKE."""

from __future__ import annotations

import re
from collections.abc import Callable

_ANY = {"*": ".*", "%": ".*", ".": "."}


def like(pattern: str | None) -> Callable[[str], bool]:
    """A test for names. None fits everything.

    ``*`` and ``%`` are any text, ``.`` is any letter, ``|`` separates alternatives, a backslash
    takes a letter as it is; the letter case does not count.
    """
    if pattern is None:
        return lambda name: True
    choices = [_choice(choice.strip()) for choice in pattern.split("|")]
    return lambda name: any(choice.fullmatch(name) for choice in choices)


def _choice(pattern: str) -> re.Pattern:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile(
        "".join(_ANY.get(part) or re.escape(part[-1]) for part in parts), re.IGNORECASE
    )


def sql_like(pattern: str | None) -> Callable[[str], bool]:
    """A test for names: ``%`` is any text, ``_`` any letter; the letter case does not count.

    Nothing, an empty text and ``*`` fit everything.
    """
    if not pattern or pattern == "*":
        return lambda name: True
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    special = {"%": ".*", "_": "."}
    text = "".join(special.get(part) or re.escape(part[-1]) for part in parts)
    compiled = re.compile(text, re.DOTALL | re.IGNORECASE)
    return lambda name: compiled.fullmatch(name) is not None
