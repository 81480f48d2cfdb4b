"""Takes secrets out of texts before they reach a screen, a log or a database row."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"
_MIN_SECRET = 4  # masking shorter strings would eat ordinary words
_PATTERNS = (
    # Databricks personal access tokens and OAuth secrets
    re.compile(r"\b(?:dapi|dose|dkea)[0-9A-Za-z._-]{8,}"),
    # JSON web tokens
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),
    re.compile(r"(?i)(?<=\bbearer )[^\s\"',;]+"),
    re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/=_-]{8,}"),
    # key=value and "key": "value", also the signatures of presigned links
    re.compile(
        r"(?i)(?<![a-z])(?P<key>authorization|(?:access_|refresh_|id_)?token|client_secret|"
        r"password|secret|api[_-]?key|encryption_key|sig|signature|x-amz-signature|"
        r"x-amz-credential|x-amz-security-token)(?P<sep>[\"']?\s*[=:]\s*[\"']?)"
        r"(?P<value>(?!(?:bearer|basic) )[^\s\"'&,;)}]+)"
    ),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)


def redact(text: str, secrets: Iterable[str | None] = (), limit: int | None = None) -> str:
    """`text` with every known secret and everything that looks like one masked.

    `limit` cuts the result to so many characters, after masking, so that no cut hides a secret's
    end from the patterns.
    """
    for secret in secrets:
        if secret and len(secret) >= _MIN_SECRET:
            text = text.replace(secret, MASK)
    for pattern in _PATTERNS:
        if "value" in pattern.groupindex:
            text = pattern.sub(lambda m: m["key"] + m["sep"] + MASK, text)
        else:
            text = pattern.sub(MASK, text)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text
