"""Where a secret comes from: the environment, then odoo.conf, then an encrypted text.

Encrypted texts are made with Fernet. Keys come from the same two places, never from the database;
of several keys, separated by commas, the first encrypts and all decrypt, so that a key can be
replaced without a day on which nothing can be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import SecretError

PREFIX = "ODOO_DATABRICKS_"
KEY_NAME = "encryption_key"
KEY_VARIABLE = PREFIX + KEY_NAME.upper()
_HOW = (
    f"Set {KEY_VARIABLE} in the environment of Odoo, or {KEY_NAME} in section "
    "[odoo_databricks] of odoo.conf, to a key made by Fernet.generate_key(), and restart Odoo."
)


class KeyMissing(SecretError):
    kind = "encryption_key_missing"
    hint = _HOW


class KeyInvalid(SecretError):
    kind = "encryption_key_invalid"
    hint = "A key is 44 characters of URL-safe base64, as Fernet.generate_key() makes it."


class SecretUnreadable(SecretError):
    kind = "secret_unreadable"
    hint = "Add the key it was stored with behind the present one (key1,key2), or store it again."


class SecretMissing(SecretError):
    kind = "secret_missing"
    hint = "Store the secret in the form, or set it in the environment or odoo.conf."


@dataclass(frozen=True)
class Secret:
    """A secret and its origin: environment, config or stored. Its text does not show in repr."""

    value: str = field(repr=False)
    origin: str


class SecretStore:
    """Reads and encrypts secrets.

    `config` is section [odoo_databricks] of odoo.conf as a mapping, `environ` defaults to the
    process's environment. Keys are read at each use, so a store can be made where none is set.
    """

    def __init__(
        self, config: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
    ):
        self._config = config or {}
        self._environ = os.environ if environ is None else environ

    @property
    def can_encrypt(self) -> bool:
        """Whether a key is set at all (it may still be invalid)."""
        return bool(self._keys())

    def external(self, name: str) -> Secret | None:
        """The secret from the environment (ODOO_DATABRICKS_<NAME>) or odoo.conf, if it is there."""
        value = (self._environ.get(PREFIX + name.upper()) or "").strip()
        if value:
            return Secret(value, "environment")
        value = (self._config.get(name.lower()) or "").strip()
        return Secret(value, "config") if value else None

    def resolve(self, name: str, stored: str | None = None) -> Secret:
        """The secret by the order of the module text; `stored` is the encrypted text, if any.

        Raises SecretMissing, KeyMissing, KeyInvalid, SecretUnreadable.
        """
        found = self.external(name)
        if found is not None:
            return found
        if not stored:
            raise SecretMissing(f"the secret {name!r} is not set anywhere")
        return Secret(self.decrypt(stored), "stored")

    def encrypt(self, text: str) -> str:
        """Raises KeyMissing or KeyInvalid; ValueError for an empty text."""
        if not text:
            raise ValueError("an empty secret is not stored")
        return self._fernet().encrypt(text.encode("utf-8")).decode("ascii")

    def decrypt(self, stored: str) -> str:
        """Raises KeyMissing, KeyInvalid, SecretUnreadable."""
        from cryptography.fernet import InvalidToken

        fernet = self._fernet()
        try:
            return fernet.decrypt(stored.encode("ascii")).decode("utf-8")
        except (InvalidToken, UnicodeError):
            raise SecretUnreadable(
                "the stored secret cannot be read with the present encryption key"
            ) from None

    def rotate(self, stored: str) -> str:
        """The same secret, encrypted with the first key."""
        return self.encrypt(self.decrypt(stored))

    def _keys(self) -> list[str]:
        found = self.external(KEY_NAME)
        return [key.strip() for key in found.value.split(",") if key.strip()] if found else []

    def _fernet(self):
        from cryptography.fernet import Fernet, MultiFernet

        keys = self._keys()
        if not keys:
            raise KeyMissing("no encryption key is set, so no secret can be stored or read")
        try:
            return MultiFernet([Fernet(key) for key in keys])
        except ValueError:  # also binascii.Error
            raise KeyInvalid("the encryption key is not a Fernet key") from None


def generate_key() -> str:
    """A new key for the environment or odoo.conf."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode("ascii")
