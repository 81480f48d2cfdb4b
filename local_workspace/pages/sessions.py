"""Who looks at the pages: a browser sends no token, so it gets a cookie for a short while."""

from __future__ import annotations

import secrets

from ..access.links import LinkSigner
from ..access.principals import digest
from ..access.tokens import Identity
from ..clock import now_ms
from ..errors import ApiError
from ..store import Store

COOKIE = "local_workspace_session"
ENTER = "/_local/status/enter"
SESSION_SECONDS = 3600
LINK_SECONDS = 300

SCHEMA = """
CREATE TABLE IF NOT EXISTS browser_sessions (
    digest TEXT PRIMARY KEY, token_digest TEXT, expires_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS used_links (
    signature TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL);
"""


class BrowserSessions:
    """Sessions in the store: only hashes, so that the file lets nobody in."""

    def __init__(self, store: Store, identity: Identity, links: LinkSigner) -> None:
        self._store = store
        self._identity = identity
        self._links = links
        store.declare(SCHEMA)

    def enter_with_token(self, token: str) -> str | None:
        """The value of a cookie for a valid token, else None; it ends with the token."""
        if self._identity.principal(f"Bearer {token}") is None:
            return None
        return self._begin(digest(token.strip()))

    def enter_with_link(self, expires: str, signature: str) -> str:
        """The value of a cookie for an address made by ``enter_link``. Raises ApiError 403."""
        self._links.check(ENTER, expires, signature)
        with self._store.transaction() as db:
            db.execute("DELETE FROM used_links WHERE expires_ms < ?", (now_ms(),))
            used = db.execute(
                "INSERT OR IGNORE INTO used_links VALUES (?, ?)", (signature, int(expires) * 1000)
            )
            if not used.rowcount:
                text = "The link was used already; ask for a new one."
                raise ApiError(403, "PERMISSION_DENIED", text)
        return self._begin(None)

    def _begin(self, token_digest: str | None) -> str:
        value = secrets.token_urlsafe(32)
        with self._store.transaction() as db:
            db.execute("DELETE FROM browser_sessions WHERE expires_ms < ?", (now_ms(),))
            db.execute(
                "INSERT INTO browser_sessions VALUES (?, ?, ?)",
                (digest(value), token_digest, now_ms() + SESSION_SECONDS * 1000),
            )
        return value

    def holds(self, value: str | None) -> bool:
        """Whether a cookie lets in: not expired, and its token not expired or revoked since."""
        if not value:
            return False
        row = self._store.row(
            "SELECT s.expires_ms, s.token_digest, t.expires_ms AS token_ms, t.id AS token_id"
            " FROM browser_sessions s LEFT JOIN tokens t ON t.digest = s.token_digest"
            " WHERE s.digest = ?",
            digest(value),
        )
        now = now_ms()
        if row is None or row["expires_ms"] <= now:
            return False
        if row["token_digest"] is None:
            return True
        alive = row["token_ms"] is None or row["token_ms"] > now
        return row["token_id"] is not None and alive

    def leave(self, value: str | None) -> None:
        if value:
            self._store.execute("DELETE FROM browser_sessions WHERE digest = ?", digest(value))


def enter_link(links: LinkSigner, host: str) -> str:
    """An address that lets a browser in, once and within five minutes."""
    return f"{host}{ENTER}?{links.sign(ENTER, LINK_SECONDS)[0]}"
