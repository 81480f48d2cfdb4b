"""What every row of a system table says about where it comes from."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from .rates import Rates

_NAMESPACE = uuid.UUID("6f6c4f2e-3b1c-4d7a-9f57-3a1c5f0f9b11")


@dataclass(frozen=True)
class Place:
    """The workspace as an account's tables name it."""

    workspace_id: str
    rates: Rates
    cloud: str = "AWS"

    @property
    def account_id(self) -> str:
        return str(uuid.uuid5(_NAMESPACE, self.workspace_id))

    @property
    def columns(self) -> dict[str, str]:
        return {"account_id": self.account_id, "workspace_id": self.workspace_id}
