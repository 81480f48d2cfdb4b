"""The connector's side of arrow_fetch_1m: one backend, one connection, several fetches."""

from __future__ import annotations

import json
import sys
from urllib.parse import urlsplit

from databricks import sql

from .arrow_fetch_timing import measure

PATH = "/sql/1.0/warehouses/local"


def main(backend: str, given: dict) -> None:
    """Prints {seconds, facts} as its last line."""
    if backend == "kernel":
        where = {"server_hostname": given["host"], "use_kernel": True}
    else:
        host = urlsplit(given["host"]).hostname
        where = {"server_hostname": host, "_connection_uri": given["host"] + PATH}
    options = {"http_path": PATH, "access_token": given["token"], "enable_telemetry": False}
    with sql.connect(**where, **options) as connection, connection.cursor() as cursor:
        print(json.dumps(measure(lambda: cursor.execute(given["statement"]).fetchall_arrow())))


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
