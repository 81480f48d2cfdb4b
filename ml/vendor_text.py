"""Forms of a vendor's name as bank and card statements and ledgers spell it.

A name is read at several grains, from the spelling as it came to the bare trade name. The grains
are used as memory keys (ml.vendor_memory) and as text for n-grams (ml.text_scores).
"""

from __future__ import annotations

import re
import unicodedata

VENDOR_LIMIT = 200
DESCRIPTION_LIMIT = 1000

# An order or terminal reference behind a card scheme's asterisk: AMZN Mktp UK*M21BV0S44.
# Four letters in a row begin a word, not a reference: SQ *BRAND55.
_REFERENCE = re.compile(r"(?<=\*)\s*(?![A-Za-z]{4})(?=[A-Za-z]*\d)[A-Za-z0-9]{5,}\b")
_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")
_STAR = re.compile(r"\*+\s*#?")
_NOT_TEXT = re.compile(r"[^A-Z&*. ]")
_NOT_WORD = re.compile(r"[^A-Z&* ]")
# Who passed the payment on stands before the asterisk; marketplaces that sell are not among them.
_SCHEME = re.compile(
    r"^(?:PAYPAL|PAY PAL|PP|SQ|SQU|SUMUP|IZ|IZETTLE|ZETTLE|SP|EB|CRD|CKO|TST|STRIPE|WPY|FS|DRI|DNH|"
    r"GOCARDLESS|ADYEN|KLARNA|GCASH|PAYMAYA|MAYA|PAYMONGO|DRAGONPAY|XENDIT|GRABPAY) ?\* ?(?=[A-Z])"
)
_WEB = re.compile(
    r"\b(?:HTTPS?|WWW)\b[./: ]*"
    r"|\.(?:CO\.?UK|ORG\.?UK|GOV\.?UK|AC\.?UK|COM\.?PH|GOV\.?PH|EDU\.?PH)\b"
    r"|\.(?:COM|CO|NET|ORG|EU|UK|PH|INFO|BIZ|IO)\b(?=\W|$)"
)
_LEGAL_FORMS = frozenset(
    "LTD LIMITED LIMITE LIMIT LIMI LT PLC LLP LLC INC INCORPORATED CORP CORPORATION CO COMPANY OPC "
    "COOP COOPERATIVE PTE PTY GMBH SARL SA BV NV THE AND OF".split()
)


def _plain(text: object, limit: int) -> str:
    """`text` as NFKC without outer space; None and NaN are empty; cut at `limit` characters."""
    if text is None or text != text:
        return ""
    return unicodedata.normalize("NFKC", str(text)[:limit]).strip()


def spelling(vendor: object) -> str:
    """The name as it came, letter case kept; references and numbers taken out.

    Letter case stays: the same shop through two acquirers differs in nothing else.
    """
    text = _REFERENCE.sub("#", _plain(vendor, VENDOR_LIMIT))
    return _SPACE.sub(" ", _DIGITS.sub("", text)).strip()


def upper_text(spelled: str) -> str:
    """Upper case A-Z, '&', '*', '.' of a `spelling`: the text that n-grams are taken from."""
    text = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode().upper()
    text = _STAR.sub("* ", text.replace("'", ""))
    return _SPACE.sub(" ", _NOT_TEXT.sub(" ", text)).strip()


def trade_name(upper: str) -> str:
    """The `upper_text` without card-scheme prefix, web address parts and legal forms.

    Never empty when `upper` is not: a name that is nothing but such words keeps them.
    """
    text = _SCHEME.sub("", upper)
    words = _NOT_WORD.sub(" ", _WEB.sub(" ", text)).replace("*", " ").split()
    core = [word for word in words if word not in _LEGAL_FORMS]
    return " ".join(core or words) or upper


def vendor_key(vendor: object) -> str:
    """The bare trade name of a vendor as it came: the key by which vendors are held out."""
    return trade_name(upper_text(spelling(vendor)))


def description_text(description: object) -> str:
    """Upper-case words of a description, numbers out."""
    text = unicodedata.normalize("NFKD", _plain(description, DESCRIPTION_LIMIT))
    text = text.encode("ascii", "ignore").decode().upper().replace("'", "")
    return _SPACE.sub(" ", re.sub(r"[^A-Z&]", " ", text)).strip()


def beginnings(trade: str) -> tuple[str, str, str, str]:
    """First word, first two words, first 5 and first 9 letters of a `trade_name`.

    Statements cut names at 22 characters, so that siblings often share only their beginning.
    """
    words = trade.split()
    letters = "".join(words)
    return " ".join(words[:1]), " ".join(words[:2]), letters[:5], letters[:9]
