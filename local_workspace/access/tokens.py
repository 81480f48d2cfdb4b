"""What a caller shows: the tokens of a workspace."""

from __future__ import annotations

import hmac
import secrets

from ..clock import now_ms
from ..errors import not_found
from ..store import Store
from .principals import OWNER, USER, Principal, ServicePrincipals, digest

__all__ = ["OWNER", "USER", "Identity", "Principal"]

# Personal access tokens live until they are revoked or expire; a task's token ends with its run;
# an access token is what a service principal gets for its secret.
PERSONAL, TASK, ACCESS = "PERSONAL", "TASK", "ACCESS"
ACCESS_SECONDS = 3600

SCHEMA = """
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, comment TEXT NOT NULL, digest TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL, expires_ms INTEGER, principal_id INTEGER,
    kind TEXT NOT NULL DEFAULT 'PERSONAL');
"""


class Identity:
    """Tokens and their principals. Only the SHA-256 of a token is stored; it is shown once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.service_principals = ServicePrincipals(store)
        store.declare(SCHEMA)

    def create_token(
        self,
        comment: str,
        lifetime_seconds: int | None = None,
        principal: Principal = OWNER,
        kind: str = PERSONAL,
    ) -> tuple[int, str]:
        """Make a token. Returns (id, token text)."""
        token = "dapi" + secrets.token_hex(16)
        made = now_ms()
        expires = made + lifetime_seconds * 1000 if lifetime_seconds else None
        owner = int(principal.id) if principal.is_service else None
        with self._store.transaction() as db:
            cursor = db.execute(
                "INSERT INTO tokens (comment, digest, created_ms, expires_ms, principal_id, kind)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (comment, digest(token), made, expires, owner, kind),
            )
            if kind == ACCESS:  # nobody revokes these: they go when the next one comes
                db.execute("DELETE FROM tokens WHERE kind = ? AND expires_ms < ?", (ACCESS, made))
        return cursor.lastrowid, token

    def task_token(self, task_run_id: int, principal: Principal = OWNER) -> tuple[int, str]:
        """A token for the process of one task, to be revoked when it ends."""
        return self.create_token(f"task run {task_run_id}", principal=principal, kind=TASK)

    def tokens(self) -> list[dict]:
        """Personal access tokens: id, comment, created_ms, expires_ms (or None)."""
        rows = self._store.rows(
            "SELECT id, comment, created_ms, expires_ms FROM tokens WHERE kind = ? ORDER BY id",
            PERSONAL,
        )
        return [dict(row) for row in rows]

    def revoke(self, token_id: int) -> bool:
        """End a token at once. Returns whether there was one."""
        return bool(self._store.execute("DELETE FROM tokens WHERE id = ?", token_id))

    def rotate(self, token_id: int, grace_seconds: int = 0) -> tuple[int, str]:
        """Replace a personal token by a new one; the old one ends now or after a grace time."""
        row = self._store.row("SELECT * FROM tokens WHERE id = ? AND kind = ?", token_id, PERSONAL)
        if row is None:
            raise not_found(f"Token {token_id} does not exist.")
        lifetime = (row["expires_ms"] - row["created_ms"]) // 1000 if row["expires_ms"] else None
        made = self.create_token(row["comment"], lifetime)
        self._store.execute(
            "UPDATE tokens SET expires_ms = MIN(COALESCE(expires_ms, ?1), ?1) WHERE id = ?2",
            now_ms() + grace_seconds * 1000,
            token_id,
        )
        return made

    def end_task_tokens(self) -> None:
        """Called at a start: tasks of an earlier process are gone, so are their tokens."""
        self._store.execute("DELETE FROM tokens WHERE kind = ?", TASK)

    def exchange(self, client_id: str, secret: str) -> str | None:
        """Return an access token for a service principal's secret, or None."""
        principal = self.service_principals.authenticate(client_id, secret)
        if principal is None:
            return None
        return self.create_token("OAuth", ACCESS_SECONDS, principal, ACCESS)[1]

    def principal(self, authorization: str) -> Principal | None:
        """Return who an Authorization header stands for, None unless its token is valid now.

        One look-up by index: cheap enough to be made for each call on the event loop, and a token
        that another process revoked ends at once. What the index tells by its timing is about a
        hash, of which nobody can choose the beginning.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        wanted = digest(token.strip())
        row = self._store.row(
            "SELECT t.digest, t.expires_ms, t.principal_id, p.client_id, p.display_name"
            " FROM tokens t LEFT JOIN service_principals p ON p.id = t.principal_id"
            " WHERE t.digest = ?",
            wanted,
        )
        if row is None or not hmac.compare_digest(row["digest"], wanted):
            return None
        if row["expires_ms"] is not None and row["expires_ms"] <= now_ms():
            return None
        if row["principal_id"] is None:
            return OWNER
        if row["client_id"] is None:
            return None
        return Principal(str(row["principal_id"]), row["client_id"], row["display_name"], True)
