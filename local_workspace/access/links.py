"""Signed addresses: pages and results that can be read without a token until they expire."""

from __future__ import annotations

import hashlib
import hmac

from ..clock import now_ms
from ..errors import ApiError


class LinkSigner:
    """Signs a path and an expiry (seconds since the epoch) with a secret of the workspace."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def sign(self, path: str, seconds: int) -> tuple[str, int]:
        """Return (query string, expiry)."""
        expires = now_ms() // 1000 + seconds
        return f"expires={expires}&sig={self._signature(path, expires)}", expires

    def check(self, path: str, expires: str, signature: str) -> None:
        """Raise ApiError 403 unless the signature fits and the link has not expired."""
        valid = expires.isdigit() and hmac.compare_digest(
            self._signature(path, int(expires)).encode(), signature.encode()
        )
        if not valid or int(expires) < now_ms() // 1000:
            raise ApiError(403, "PERMISSION_DENIED", "The link is not valid or has expired.")

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{path}|{expires}".encode(), hashlib.sha256).hexdigest()
