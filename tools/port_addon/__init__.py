"""Port of the addon from its 17.0 source to a 19.0 build."""

from .port import Ported, apply_rules, check, port
from .text import PortError
from .upgrade_code import Odoo19, UpgradeCodeError

__all__ = ["Odoo19", "PortError", "Ported", "UpgradeCodeError", "apply_rules", "check", "port"]
