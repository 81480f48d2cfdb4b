"""What one model process may take. Tests change it on a running workspace."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Settings


@dataclass
class Limits:
    """Seconds, and bytes of private memory.

    ``wake_seconds``: how long a call waits for a model that is being loaded. It is shorter than
    the usual time-out of a client, which so gets an answer that tells it to come again.
    ``idle_seconds``: after how long without a call a process that may scale to zero ends.
    """

    invocation_seconds: float
    wake_seconds: float
    idle_seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            settings.invocation_seconds,
            settings.wake_seconds,
            settings.scale_to_zero_seconds,
            settings.model_memory,
        )
