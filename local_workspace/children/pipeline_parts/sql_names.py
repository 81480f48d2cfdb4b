"""Which tables an SQL query reads, by its text."""

import re

from .errors import NotComputed

_TOKEN = re.compile(
    r"(?P<skip>\s+|--[^\n]*|/\*.*?\*/)|(?P<text>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<name>`(?:``|[^`])+`|[^\W\d]\w*)|(?P<sign>.)",
    re.DOTALL,
)
_READS = ("FROM", "JOIN", "TABLE")
# Words that end the list of tables after FROM.
_ENDS = {"WHERE", "GROUP", "HAVING", "ORDER", "SORT", "LIMIT", "WINDOW", "UNION", "EXCEPT",
         "INTERSECT", "MINUS", "SELECT", "ON", "USING", "QUALIFY", "LATERAL"}  # fmt: skip
_QUERIES = ("SELECT", "WITH", "FROM", "VALUES", "TABLE", "")


def table_names(text):
    """Names read by a query, each as a list of parts; names that the query defines are left out.

    Raises NotComputed for a statement that is no query, and for a read as a stream.
    """
    tokens = [
        (match.lastgroup, match.group())
        for match in _TOKEN.finditer(text)
        if match.lastgroup != "skip"
    ]
    words = [value.upper() if kind == "name" and value[0] != "`" else "" for kind, value in tokens]
    first = next((words[at] for at, (_, value) in enumerate(tokens) if value != "("), "")
    if first not in _QUERIES:
        raise NotComputed(f"{first} in a pipeline's code: a query function only reads")
    own = {
        tokens[at][1].strip("`").lower()
        for at in range(len(tokens) - 2)
        if tokens[at][0] == "name" and words[at + 1] == "AS" and tokens[at + 2][1] == "("
    }
    return [parts for parts in _reads(tokens, words) if not (len(parts) == 1 and parts[0] in own)]


def _reads(tokens, words):
    found = []
    # For each open bracket: whether a name after a comma is a table.
    listing = [False]
    expected = False
    at = 0
    while at < len(tokens):
        kind, value = tokens[at]
        if value == "(":
            # Brackets around a table or a join: FROM (a JOIN b).
            listing.append(expected)
        elif value == ")":
            if len(listing) > 1:
                listing.pop()
            expected = False
        elif words[at] in _READS:
            expected = True
            listing[-1] = words[at] == "FROM"
        elif value == "," and listing[-1]:
            expected = True
        elif words[at] in _ENDS:
            expected = listing[-1] = False
        elif kind == "name" and expected:
            parts, after = _dotted(tokens, at)
            follows = tokens[after][1] if after < len(tokens) else ""
            if parts[0] == "stream" and len(parts) == 1 and follows not in (",", ")", ""):
                raise NotComputed("STREAM in SQL: streams are read with spark.readStream")
            if follows != "(":
                found.append(parts)
            expected = False
            at = after
            continue
        else:
            expected = False
        at += 1
    return found


def _dotted(tokens, at):
    parts = []
    while at < len(tokens) and tokens[at][0] == "name":
        parts.append(_plain(tokens[at][1]))
        if at + 2 < len(tokens) and tokens[at + 1][1] == "." and tokens[at + 2][0] == "name":
            at += 2
            continue
        return parts, at + 1
    return parts, at


def _plain(name):
    return (name[1:-1].replace("``", "`") if name[0] == "`" else name).lower()


def split_name(name):
    """The parts of a dotted name, lower case, without back quotes."""
    parts = [_plain(part) for part in re.findall(r"`(?:``|[^`])+`|[^.`]+", name.strip())]
    rebuilt = sum(len(part) for part in parts) + len(parts) - 1
    if not parts or len(parts) > 3 or rebuilt < len(name.replace("`", "")):
        raise ValueError(f"{name!r} is no name of a table")
    return parts
