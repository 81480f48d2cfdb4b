"""What the engine layer refuses, because Sail 0.7.2 would go wrong without an error.

Each refusal names the call and what to use instead. Everything else that Sail cannot do fails
by itself, with an error.
"""

from __future__ import annotations

from .interface import EngineError
from .sql_text import Statement

ALLOWED_VERBS = {
    "SELECT", "WITH", "VALUES", "FROM", "TABLE", "INSERT", "MERGE", "UPDATE", "DELETE", "CREATE",
    "ALTER", "EXPLAIN",
}  # fmt: skip
KNOWN_VERBS = {
    "ADD", "ANALYZE", "BEGIN", "CACHE", "CALL", "CLEAR", "COMMENT", "COPY", "DECLARE", "DESC",
    "DESCRIBE", "DROP", "EXECUTE", "FSCK", "GRANT", "LIST", "LOAD", "MSCK", "OPTIMIZE", "PUT",
    "REFRESH", "REMOVE", "REORG", "REPAIR", "RESET", "RESTORE", "REVOKE", "SET", "SHOW", "SYNC",
    "TRUNCATE", "UNCACHE", "UNDROP", "UNSET", "USE", "VACUUM",
}  # fmt: skip

WRONG_FUNCTIONS = {
    "BROUND": "rounds half up and returns a double; use round on a decimal",
    "WEEKDAY": "answers -1 for Sundays; use dayofweek",
    "PERCENTILE_APPROX": "interpolates and returns a double; use percentile_cont",
    "APPROX_PERCENTILE": "interpolates and returns a double; use percentile_cont",
}

FILE_FORMATS = {"DELTA", "PARQUET", "CSV", "JSON", "TEXT", "BINARYFILE", "ORC", "AVRO"}


def refuse_known_faults(statement: Statement) -> None:
    """Raise EngineError for a statement that would silently give a wrong result or state."""
    verb = statement.main_verb
    words = statement.words
    if verb in KNOWN_VERBS:
        raise refusal(f"{verb} statements of this form")
    if verb not in ALLOWED_VERBS:
        raise EngineError(
            f"[PARSE_SYNTAX_ERROR] Syntax error at or near '{statement.tokens[0].text}'. "
            "SQLSTATE: 42601",
            "PARSE_SYNTAX_ERROR",
            "42601",
        )
    for function, fault in WRONG_FUNCTIONS.items():
        if statement.calls(function):
            raise refusal(f"the function {function.lower()}: this engine {fault}")
    if verb == "INSERT" and statement.has_sequence("REPLACE", "WHERE"):
        raise refusal(
            "INSERT ... REPLACE WHERE: this engine also writes rows outside the predicate; "
            "use DELETE and INSERT, or MERGE"
        )
    if verb == "INSERT" and "OVERWRITE" in words and "PARTITION" in words:
        raise refusal(
            "INSERT OVERWRITE ... PARTITION: this engine can replace the whole table; use MERGE"
        )
    if verb == "CREATE":
        _refuse_create(statement)
    _refuse_paths(statement)


def _refuse_create(statement: Statement) -> None:
    words = [word for word in statement.words if word][:5]
    if "VIEW" in words or "FUNCTION" in words:
        raise refusal("CREATE VIEW and CREATE FUNCTION: they would be lost with the session")
    if "LOCATION" in statement.words:
        raise refusal("LOCATION: tables live in the workspace's own folder")
    positions = [at for at, word in enumerate(statement.words) if word == "USING"]
    for at in positions:
        following = statement.words[at + 1] if at + 1 < len(statement.words) else ""
        if following in FILE_FORMATS - {"DELTA"}:
            raise refusal(f"USING {following}: tables are Delta tables")


def _refuse_paths(statement: Statement) -> None:
    tokens = statement.tokens
    for first, dot, path in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if first.name.upper() in FILE_FORMATS and dot.text == "." and path.kind == "quoted":
            if "/" in path.name:
                raise refusal("reading files by path; name a table")


def refusal(what: str) -> EngineError:
    return EngineError(
        f"[UNSUPPORTED_FEATURE] Not computed by the local workspace: {what}. SQLSTATE: 0A000",
        "UNSUPPORTED_FEATURE",
        "0A000",
    )
