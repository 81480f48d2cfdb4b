"""Write the .env that docker-compose.yml needs: `python3 docker/make_env.py`.

Generates the database's password and the key that encrypts the addon's stored secrets. An existing
file is left as it is: with another key, stored secrets could not be read any more.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def content() -> str:
    """The lines of a new .env; the key is a Fernet key (32 random bytes, URL-safe base64)."""
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return (
        f"POSTGRES_PASSWORD={secrets.token_urlsafe(24)}\n"
        f"ODOO_DATABRICKS_ENCRYPTION_KEY={key}\n"
        "ODOO_PORT=8069\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Write the file with mode 600; 1 when it is already there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=ROOT / ".env")
    target = parser.parse_args(arguments).file
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} is already there and was left as it is", file=sys.stderr)
        return 1
    with os.fdopen(handle, "w") as file:
        file.write(content())
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
