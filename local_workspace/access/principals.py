"""Who a caller is: the owner of the workspace or one of its service principals."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass

from ..clock import now_ms
from ..errors import bad_request, not_found
from ..store import Store, new_id

USER = "local@workspace.invalid"
NAME_LIMIT = 200

SCHEMA = """
CREATE TABLE IF NOT EXISTS service_principals (
    id INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, display_name TEXT NOT NULL,
    created_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS service_secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, principal_id INTEGER NOT NULL, digest TEXT NOT NULL,
    created_ms INTEGER NOT NULL, expires_ms INTEGER);
CREATE INDEX IF NOT EXISTS service_secrets_principal ON service_secrets (principal_id);
"""


@dataclass(frozen=True)
class Principal:
    """A caller. ``user_name`` of a service principal is its client id, as on Databricks."""

    id: str
    user_name: str
    display_name: str
    is_service: bool = False


OWNER = Principal("1", USER, "Local workspace")


def digest(secret: str) -> str:
    # A secret carries at least 128 random bits, so a plain hash cannot be searched; no salt.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


class ServicePrincipals:
    """Service principals with their secrets. Only hashes are stored; a secret is shown once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def create(self, display_name: str) -> tuple[Principal, str]:
        """Make a service principal. Returns it with its secret."""
        name = display_name.strip()
        if not name or len(name) > NAME_LIMIT:
            raise bad_request(f"display_name: between 1 and {NAME_LIMIT} characters.")
        client_id, secret, made = str(uuid.uuid4()), _new_secret(), now_ms()
        with self._store.transaction() as db:
            principal_id = new_id(db)
            # 1 is the owner.
            while principal_id <= int(OWNER.id):
                principal_id = new_id(db)
            db.execute(
                "INSERT INTO service_principals VALUES (?, ?, ?, ?)",
                (principal_id, client_id, name, made),
            )
            _add_secret(db, principal_id, secret, made)
        return Principal(str(principal_id), client_id, name, True), secret

    def all(self) -> list[dict]:
        """Every service principal: id, client_id, display_name, created_ms, secrets (alive)."""
        rows = self._store.rows(
            "SELECT p.*, (SELECT COUNT(*) FROM service_secrets s WHERE s.principal_id = p.id"
            " AND (s.expires_ms IS NULL OR s.expires_ms > ?)) AS secrets"
            " FROM service_principals p ORDER BY p.id",
            now_ms(),
        )
        return [dict(row) for row in rows]

    def rotate_secret(self, client_id: str, grace_seconds: int = 0) -> str:
        """Make a new secret; earlier ones end now, or after a grace time. Returns the secret.

        Access tokens that were got with an earlier secret end together with it.
        """
        principal_id = int(self._get(client_id).id)
        secret, made = _new_secret(), now_ms()
        ends = made + grace_seconds * 1000
        shorten = "expires_ms = MIN(COALESCE(expires_ms, :ends), :ends)"
        values = {"ends": ends, "id": principal_id}
        with self._store.transaction() as db:
            db.execute(f"UPDATE service_secrets SET {shorten} WHERE principal_id = :id", values)
            db.execute(f"UPDATE tokens SET {shorten} WHERE principal_id = :id", values)
            db.execute("DELETE FROM service_secrets WHERE expires_ms <= ?", (made,))
            _add_secret(db, principal_id, secret, made)
        return secret

    def delete(self, client_id: str) -> None:
        """End a service principal with all its secrets and tokens."""
        principal_id = int(self._get(client_id).id)
        with self._store.transaction() as db:
            db.execute("DELETE FROM tokens WHERE principal_id = ?", (principal_id,))
            db.execute("DELETE FROM service_secrets WHERE principal_id = ?", (principal_id,))
            db.execute("DELETE FROM service_principals WHERE id = ?", (principal_id,))

    def authenticate(self, client_id: str, secret: str) -> Principal | None:
        """Return the principal of a client id and secret, or None."""
        given, now, found = digest(secret), now_ms(), None
        for row in self._store.rows(
            "SELECT p.*, s.digest, s.expires_ms FROM service_secrets s"
            " JOIN service_principals p ON p.id = s.principal_id WHERE p.client_id = ?",
            client_id,
        ):
            alive = row["expires_ms"] is None or row["expires_ms"] > now
            if hmac.compare_digest(row["digest"], given) and alive:
                found = principal_of(row)
        return found

    def find(self, client_id: str) -> Principal | None:
        """The service principal of a client id (its user name), or None."""
        row = self._store.row("SELECT * FROM service_principals WHERE client_id = ?", client_id)
        return principal_of(row) if row is not None else None

    def _get(self, client_id: str) -> Principal:
        principal = self.find(client_id)
        if principal is None:
            raise not_found(f"Service principal {client_id} does not exist.")
        return principal


def principal_of(row) -> Principal:
    """The principal of a row of ``service_principals``."""
    return Principal(str(row["id"]), row["client_id"], row["display_name"], True)


def _new_secret() -> str:
    return "dose" + secrets.token_hex(16)


def _add_secret(db, principal_id: int, secret: str, made: int) -> None:
    db.execute(
        "INSERT INTO service_secrets (principal_id, digest, created_ms) VALUES (?, ?, ?)",
        (principal_id, digest(secret), made),
    )
