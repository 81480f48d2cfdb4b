"""The two logs of a served entity: what happened while its model loaded, and since."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import IO

SHOWN = 64 * 1024


class EntityLogs:
    """Files in one folder for each endpoint. The build log is that of the last load."""

    def __init__(self, folder: Path, entity: str, cap: int) -> None:
        self.build = folder / f"{entity}.build.log"
        self.service = folder / f"{entity}.log"
        self._cap = cap

    def begin_build(self, line: str) -> IO[bytes]:
        """A new build log, open for the child."""
        self.build.parent.mkdir(parents=True, exist_ok=True)
        out = self.build.open("ab", buffering=0)
        out.truncate(0)
        out.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n".encode())
        return out

    def trim(self) -> None:
        """Keep the end of a log that has outgrown its cap.

        The child appends (O_APPEND), so what it writes after the cut lands behind the rest.
        """
        for path in (self.build, self.service):
            if not path.exists() or path.stat().st_size <= self._cap:
                continue
            left_out = path.stat().st_size - SHOWN
            rest = _tail(path)
            with path.open("ab", buffering=0) as out:
                out.truncate(0)
                out.write(f"[... {left_out} bytes left out ...]\n".encode() + rest)


def read_log(path: Path) -> str:
    """The last 64 KiB of a log; '' when nothing was written yet."""
    return _tail(path).decode("utf-8", "replace") if path.exists() else ""


def _tail(path: Path) -> bytes:
    with path.open("rb") as log_file:
        log_file.seek(max(path.stat().st_size - SHOWN, 0))
        return log_file.read(SHOWN)
