"""The settings of a SQL session: which there are, what they may hold, what they do here."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, available_timezones

from ..errors import ApiError

DEFAULTS = {
    "ANSI_MODE": "true",
    "ENABLE_PHOTON": "true",
    "LEGACY_TIME_PARSER_POLICY": "EXCEPTION",
    "MAX_FILE_PARTITION_BYTES": "128m",
    "QUERY_TAGS": "",
    "READ_ONLY_EXTERNAL_METASTORE": "false",
    "STATEMENT_TIMEOUT": "172800",
    "TIMEZONE": "UTC",
    "USE_CACHED_RESULT": "true",
}
_ALIASES = {
    "SPARK.SQL.SESSION.TIMEZONE": "TIMEZONE",
    "SPARK.SQL.ANSI.ENABLED": "ANSI_MODE",
}
# What a Thrift client says about the form of its results; it is no setting of the session.
_OF_THE_CLIENT = "SPARK.THRIFTSERVER."
_OFFSET = re.compile(r"[+-](?:0\d|1[0-8]):[0-5]\d$")


def setting_name(name: str) -> str:
    """Upper-case name of a setting. Raises ApiError 400 when there is none of this name."""
    upper = name.strip().upper()
    upper = _ALIASES.get(upper, upper)
    if upper in DEFAULTS or upper.startswith(_OF_THE_CLIENT):
        return upper
    raise ApiError(
        400,
        "INVALID_PARAMETER_VALUE",
        f"[CONFIG_NOT_AVAILABLE] Configuration {name} is not available. SQLSTATE: 42K0I",
    )


def checked_setting(name: str, text: str) -> tuple[str, str]:
    """(upper-case name, value) of a setting. Raises ApiError 400 for what cannot be had here."""
    known, value = setting_name(name), str(text).strip()
    if known == "TIMEZONE":
        return known, _zone(value)
    if known == "STATEMENT_TIMEOUT" and not (value.isdigit() and int(value) <= 172_800):
        raise _invalid(known, value, "is a number of seconds from 0 to 172800")
    if known == "ANSI_MODE" and value.lower() != "true":
        raise _invalid(known, value, "can only be true: the engine computes in ANSI mode")
    return known, value


def time_zone(confs: dict[str, str]) -> str:
    """The zone in which the engine shows and reads timestamps without a zone."""
    return confs.get("TIMEZONE", DEFAULTS["TIMEZONE"])


def timeout_seconds(confs: dict[str, str]) -> int | None:
    """How long a statement may run; None means without an end."""
    return int(confs.get("STATEMENT_TIMEOUT", "0")) or None


def _zone(value: str) -> str:
    if _OFFSET.match(value) or value in available_timezones():
        return value
    matching = [zone for zone in available_timezones() if zone.lower() == value.lower()]
    if matching:
        return ZoneInfo(matching[0]).key
    raise _invalid("TIMEZONE", value, "is a zone such as Asia/Manila or an offset such as +08:00")


def _invalid(name: str, value: str, rule: str) -> ApiError:
    return ApiError(
        400,
        "INVALID_PARAMETER_VALUE",
        f"[INVALID_CONF_VALUE] {name} {rule}, not '{value}'. SQLSTATE: 22022",
    )
