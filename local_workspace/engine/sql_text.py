"""Reading SQL text just far enough to route it: tokens, kind of statement, names.

The engine parses SQL; this module only finds what must be known before the engine is asked:
whether a text is one statement, which kind it is, and which literals the engine would misread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?P<raw>[rR](?:'[^']*'|"[^"]*"))
  | (?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
  | (?P<quoted>`(?:[^`]|``)*`)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>\d[\w.]*)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)

QUERY_WORDS = {"SELECT", "WITH", "VALUES", "FROM", "TABLE"}


@dataclass(frozen=True)
class Token:
    """One token: its kind (word, string, raw, quoted, number, mark, space, comment), its text."""

    kind: str
    text: str

    @property
    def word(self) -> str:
        """Upper-case keyword, or '' when the token is no bare word."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier that the token stands for, without its back quotes."""
        if self.kind == "quoted":
            return self.text[1:-1].replace("``", "`")
        return self.text


class SqlTextError(ValueError):
    """The text is not one statement."""


class Statement:
    """One SQL statement: its significant tokens and the text to send to the engine."""

    def __init__(self, text: str) -> None:
        tokens = [Token(match.lastgroup, match.group()) for match in _TOKEN.finditer(text)]
        while tokens and (tokens[-1].kind in ("space", "comment") or tokens[-1].text == ";"):
            tokens.pop()
        self._all = tokens
        self.tokens = [token for token in tokens if token.kind not in ("space", "comment")]
        if not self.tokens:
            raise SqlTextError("the statement is empty")
        if any(token.text == ";" for token in self.tokens):
            raise SqlTextError("one call takes one statement; split the text at ';'")

    @property
    def words(self) -> list[str]:
        """Bare words in upper case, '' for every other token; same positions as ``tokens``."""
        return [token.word for token in self.tokens]

    @property
    def verb(self) -> str:
        """First keyword after opening brackets."""
        for token in self.tokens:
            if token.text != "(":
                return token.word
        return ""

    @property
    def main_verb(self) -> str:
        """The verb that says what happens: for ``WITH x AS (...) INSERT ...`` it is INSERT."""
        if self.verb != "WITH":
            return self.verb
        depth = 0
        for token, following in zip(self.tokens, self.tokens[1:], strict=False):
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0 and token.text == ")" and following.word not in ("", "AS"):
                return following.word
        return "WITH"

    @property
    def is_query(self) -> bool:
        """Whether the statement only reads and may be wrapped in a LIMIT."""
        return self.main_verb in QUERY_WORDS

    @property
    def engine_text(self) -> str:
        """The text with doubled quotes inside literals written with a backslash.

        Sail 0.7.2 drops the quote of ``'o''neil'`` without an error and reads ``'o\\'neil'``
        as Spark does, so the text is rewritten before it is sent.
        """
        return "".join(_undouble(token) for token in self._all)

    def replaced(self, changes: dict[int, str]) -> Statement:
        """The statement with the tokens at these positions (of ``tokens``) written otherwise."""
        texts = {id(self.tokens[at]): text for at, text in changes.items()}
        return Statement("".join(texts.get(id(token), token.text) for token in self._all))

    def has_sequence(self, *words: str) -> bool:
        """Whether the bare words occur one after the other."""
        found = self.words
        size = len(words)
        return any(tuple(found[at : at + size]) == words for at in range(len(found) - size + 1))

    def calls(self, function: str) -> bool:
        """Whether a function of this name is called."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return any(a.word == function.upper() and b.text == "(" for a, b in pairs)

    def name_at(self, at: int) -> tuple[list[str], int]:
        """Read a dotted name from token ``at``. Returns (parts, position after it)."""
        parts: list[str] = []
        while at < len(self.tokens) and self.tokens[at].kind in ("word", "quoted"):
            parts.append(self.tokens[at].name)
            if at + 1 < len(self.tokens) and self.tokens[at + 1].text == ".":
                at += 2
                continue
            return parts, at + 1
        return parts, at


def _undouble(token: Token) -> str:
    if token.kind != "string":
        return token.text
    quote = token.text[0]
    inner = token.text[1:-1]
    if quote * 2 not in inner:
        return token.text
    # Walk escapes as the lexer does: a backslash protects the character after it.
    parts = re.findall(r"\\.|" + quote * 2 + "|.", inner, re.DOTALL)
    return quote + "".join("\\" + quote if part == quote * 2 else part for part in parts) + quote


def quote_name(*parts: str) -> str:
    """A dotted name in back quotes."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def split_statements(text: str) -> list[str]:
    """The statements of a script, cut at ';' outside of literals and comments.

    Raises SqlTextError when there is none.
    """
    parts: list[list[str]] = [[]]
    for match in _TOKEN.finditer(text):
        if match.group() == ";":
            parts.append([])
        elif match.lastgroup != "comment" or parts[-1]:
            parts[-1].append(match.group())
    found = [joined for part in parts if (joined := "".join(part).strip())]
    if not found:
        raise SqlTextError("the text holds no statement")
    return found


def parameter_names(text: str) -> set[str]:
    """The named parameters (``:name``, back quotes allowed) that a statement uses."""
    tokens = [Token(match.lastgroup, match.group()) for match in _TOKEN.finditer(text)]
    pairs = zip(tokens, tokens[1:], strict=False)
    return {b.name for a, b in pairs if a.text == ":" and b.kind in ("word", "quoted")}
