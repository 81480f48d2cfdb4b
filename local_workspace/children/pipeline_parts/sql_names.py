"""Names in the SQL of a pipeline's code: which tables a query reads."""

from .errors import NotComputed
from .sql_text import Statement, quote_name

_READS = ("FROM", "JOIN", "TABLE")
# Words that end the list of tables after FROM.
_ENDS = {"WHERE", "GROUP", "HAVING", "ORDER", "SORT", "LIMIT", "WINDOW", "UNION", "EXCEPT",
         "INTERSECT", "MINUS", "SELECT", "ON", "USING", "QUALIFY", "LATERAL"}  # fmt: skip


def split_name(name):
    """The parts of a dotted name, lower case. Raises ValueError where it is none."""
    statement = Statement(name)
    parts, after = statement.name_at(0)
    if after != len(statement.tokens) or not 1 <= len(parts) <= 3:
        raise ValueError(f"{name!r} is no name of a table")
    return [part.lower() for part in parts]


def for_engine(text):
    """A condition with its literals as the engine reads them right."""
    return Statement(text).engine_text


def with_tables(text, on_table):
    """The query as the engine is to get it.

    ``on_table`` is called with the parts, lower case, of each table's name and returns the parts
    to write instead, or None for what it does not know. Raises NotComputed for a statement that is
    no query, or reads a stream.
    """
    statement = Statement(text)
    if not statement.is_query:
        raise NotComputed(
            f"{statement.main_verb} in a pipeline's code: a query function only reads"
        )
    changes = {}
    for at in _positions(statement):
        parts = [part.lower() for part in statement.name_at(at)[0]]
        written = on_table(parts) or ()
        changes |= {at + 2 * number: quote_name(part) for number, part in enumerate(written)}
    return statement.replaced(changes).engine_text


def _positions(statement):
    """Where the names of tables begin; names that the query itself defines are left out."""
    tokens, words = statement.tokens, statement.words
    own = {
        token.name.lower()
        for token, word, mark in zip(tokens, words[1:], tokens[2:], strict=False)
        if word == "AS" and mark.text == "("
    }
    # For each open bracket: whether a name after a comma is a table.
    listing = [False]
    expected = False
    at = 0
    while at < len(tokens):
        text, word = tokens[at].text, words[at]
        if text == "(":
            # Brackets around a table or a join: FROM (a JOIN b).
            listing.append(expected)
        elif text == ")":
            listing = listing[:-1] or [False]
            expected = False
        elif word in _READS:
            expected = True
            listing[-1] = word == "FROM"
        elif text == "," and listing[-1]:
            expected = True
        elif word in _ENDS:
            expected = listing[-1] = False
        elif expected and tokens[at].kind in ("word", "quoted"):
            expected = False
            parts, after = statement.name_at(at)
            follows = tokens[after] if after < len(tokens) else None
            if (
                word == "STREAM"
                and follows is not None
                and (follows.text == "(" or follows.kind in ("word", "quoted"))
            ):
                raise NotComputed("STREAM in SQL: streams are read with spark.readStream")
            function = follows is not None and follows.text == "("
            if not function and not (len(parts) == 1 and parts[0].lower() in own):
                yield at
            at = after
            continue
        else:
            expected = False
        at += 1
