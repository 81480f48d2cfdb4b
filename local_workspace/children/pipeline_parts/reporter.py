"""What the process of an update says to the workspace: one JSON line for each thing."""

import json
import traceback

MESSAGE_LIMIT = 4000
FRAME_LIMIT = 30
CAUSE_LIMIT = 5


class Reporter:
    """Writes to the pipe at ``path``; none of ``secrets`` ever passes through it."""

    def __init__(self, path, secrets=()):
        self._pipe = open(path, "wb")
        self._secrets = [secret for secret in secrets if secret]

    def state(self, state):
        self._send({"state": state})

    def verdict(self, state, message, error=None):
        """The last word: how the update ended, as far as this process can tell."""
        self._send({"state": state, "message": message[:MESSAGE_LIMIT], "error": error})

    def event(self, event_type, message, details, level="INFO", error=None, dataset=None,
              flow=None):  # fmt: skip
        """An event of the log; ``error`` is an exception, ``details`` what the type documents."""
        origin = {"dataset_name": dataset, "flow_name": flow}
        self._send(
            {
                "event_type": event_type,
                "message": message[:MESSAGE_LIMIT],
                "details": details,
                "level": level,
                "error": None if error is None else error_detail(error),
                "origin": {name: value for name, value in origin.items() if value},
            }
        )

    def _send(self, message):
        text = json.dumps(message, default=str)
        for secret in self._secrets:
            text = text.replace(secret, "[REDACTED]")
        self._pipe.write(text.encode() + b"\n")
        self._pipe.flush()


def error_detail(error, fatal=True):
    """An exception and its causes as the event log shows them."""
    exceptions = []
    while error is not None and len(exceptions) < CAUSE_LIMIT:
        exceptions.append(
            {
                "class_name": f"{type(error).__module__}.{type(error).__qualname__}",
                "message": str(error)[:MESSAGE_LIMIT],
                "stack": [
                    {
                        "declaring_class": "",
                        "method_name": frame.name,
                        "file_name": frame.filename,
                        "line_number": frame.lineno,
                    }
                    for frame in traceback.extract_tb(error.__traceback__)[-FRAME_LIMIT:]
                ],
            }
        )
        error = error.__cause__
    return {"fatal": fatal, "exceptions": exceptions}
