"""What one model process may take. Tests change it on a running workspace."""

from __future__ import annotations

from ..settings import Settings


class Limits:
    """Seconds, and bytes of private memory.

    ``wake_seconds``: how long a call waits for a model that is being loaded. It is shorter than
    the usual time-out of a client, which so gets an answer that tells it to come again.
    ``idle_seconds``: after how long without a call a process that may scale to zero ends.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Back to what the workspace was started with."""
        self.invocation_seconds = self._settings.invocation_seconds
        self.wake_seconds = self._settings.wake_seconds
        self.idle_seconds = self._settings.scale_to_zero_seconds
        self.memory_bytes = self._settings.model_memory

    def change(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            setattr(self, name, value)
