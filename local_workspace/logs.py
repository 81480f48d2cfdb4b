"""The log: one JSON object a line, in a file that is capped, without secrets."""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
import sys
import time

from .settings import Settings

KEPT_FILES = 3
# The forms of our own tokens and secrets, should one ever come near the log (in a path, say).
SECRET = re.compile(r"\b(dapi|dose)[0-9a-f]{32}\b")
REDACTED = "[redacted]"


class JsonLines(logging.Formatter):
    """time (UTC), level, logger, message, and what stands in the record's ``fields``."""

    converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return SECRET.sub(REDACTED, json.dumps(line, ensure_ascii=False, default=str))


def configure(settings: Settings) -> None:
    """Everything to the file, which turns over at ``log_cap`` bytes; warnings to stderr too."""
    file = logging.handlers.RotatingFileHandler(
        settings.logs / "workspace.log",
        maxBytes=settings.log_cap,
        backupCount=KEPT_FILES,
        encoding="utf-8",
        errors="backslashreplace",
    )
    screen = logging.StreamHandler(sys.stderr)
    screen.setLevel(logging.WARNING)
    for handler in (file, screen):
        handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[file, screen], force=True)
    # httpx tells of each call to a model process; that is the caller's line already.
    logging.getLogger("httpx").setLevel(logging.WARNING)
