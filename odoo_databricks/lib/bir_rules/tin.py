"""Taxpayer identification numbers as they are printed, and what a name says of its bearer.

Only the format is checked: the ninth digit is said to be a check digit, but no algorithm is
public, so none is applied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .data import juridical_words

_BRANCH_DIGITS = 5
# "non" stands before "vat" so that NON-VAT is never read as VAT.
_VAT_WORD = re.compile(
    r"(?<![A-Z])(?:(?P<non>NON[\s-]*V(?:AT)?|NV)|(?P<vat>VAT|V))(?![A-Z])", re.IGNORECASE
)
# 123-456-789-000, 123.456.789, 123456789-00001, 12345678900001
_TIN = re.compile(r"(\d{3})([\s.-]*)(\d{3})\2(\d{3})(?:[\s.-]*(\d{3,5}))?", re.ASCII)
_NUMBERS = re.compile(r"\d[\d\s.-]*\d", re.ASCII)


@dataclass(frozen=True)
class Tin:
    """Nine digits, an optional branch code padded to five digits, and a printed VAT mark."""

    number: str
    branch: str | None = None
    vat_registered: bool | None = None

    @property
    def text(self) -> str:
        """ddd-ddd-ddd or ddd-ddd-ddd-ddddd."""
        parts = [self.number[:3], self.number[3:6], self.number[6:]]
        if self.branch is not None:
            parts.append(self.branch)
        return "-".join(parts)

    @property
    def digits(self) -> str:
        """9 or 14 digits."""
        return self.number + (self.branch or "")

    @property
    def is_business(self) -> bool:
        """The first digit of a TIN given to a business is 0."""
        return self.number.startswith("0")


def parse_tin(text: str | None) -> Tin | None:
    """The TIN in a short text such as a receipt's TIN field, or None if there is not exactly one.

    Accepts 9 digits or 9 + 3..5, grouped by dashes, dots or blanks or written solid, with words
    such as "VAT REG TIN" before and VAT, NON-VAT, V or NV around it. All zeros is a blank form.
    """
    if not text:
        return None
    found = _NUMBERS.findall(text)
    if len(found) != 1:
        return None
    candidate = found[0]
    match = _TIN.fullmatch(candidate)
    if match is None:
        return None
    number = "".join(match.group(1, 3, 4))
    if number == "0" * 9:
        return None
    branch = match.group(5)
    mark = _VAT_WORD.search(text)
    return Tin(
        number,
        None if branch is None else branch.zfill(_BRANCH_DIGITS),
        None if mark is None else mark.group("vat") is not None,
    )


def payee_kind_from_name(name: str | None) -> str | None:
    """`corporate` if the name has a juridical word (Inc., Corp., OPC ...), else `individual`.

    A proposal from the name alone, not a finding. None for a name without letters.
    """
    # Dots vanish, so that O.P.C. and Inc. become words; every other mark parts words.
    words = re.findall(r"[^\W\d_]+", (name or "").upper().replace(".", ""))
    if not words:
        return None
    juridical = juridical_words()
    # "Co, Juan" is a person of the family Co; "Juan & Co" is a firm.
    if any(word in juridical and not (word == "CO" and i == 0) for i, word in enumerate(words)):
        return "corporate"
    return "individual"
