"""Who may call: the tokens of a workspace."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from ..store import Store, now_ms

USER = "local@workspace.invalid"

SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, comment TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL, expires_ms INTEGER);
"""


def _digest(token: str) -> str:
    # A token carries 128 random bits, so a plain hash cannot be searched; no salt is needed.
    return hashlib.sha256(token.encode()).hexdigest()


class Identity:
    """Tokens of one workspace. Only their SHA-256 is stored; a token is shown once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def create_token(self, comment: str, lifetime_seconds: int | None = None) -> tuple[int, str]:
        """Make a token. Returns (id, token text)."""
        token = "dapi" + secrets.token_hex(16)
        made = now_ms()
        expires = made + lifetime_seconds * 1000 if lifetime_seconds else None
        with self._store.transaction() as db:
            cursor = db.execute(
                "INSERT INTO tokens (comment, digest, created_ms, expires_ms) VALUES (?, ?, ?, ?)",
                (comment, _digest(token), made, expires),
            )
        return cursor.lastrowid, token

    def revoke(self, token_id: int) -> None:
        self._store.execute("DELETE FROM tokens WHERE id = ?", token_id)

    def accepts(self, authorization: str | None) -> bool:
        """Whether an Authorization header names a token of this workspace that is still valid."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return False
        wanted = _digest(token.strip())
        now = now_ms()
        found = False
        # Every stored digest is compared in constant time, so that timing tells nothing.
        for row in self._store.rows("SELECT digest, expires_ms FROM tokens"):
            alive = row["expires_ms"] is None or row["expires_ms"] > now
            found |= hmac.compare_digest(row["digest"], wanted) and alive
        return found
