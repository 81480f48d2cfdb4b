"""Reading a statement word by word, for those that are answered here and not by the engine."""

from __future__ import annotations

import re

from ..engine.catalog import CatalogError
from ..engine.interface import EngineError
from ..engine.sql_text import Statement, Token

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}


class Words:
    """A position in the tokens of a statement; what does not fit raises a syntax error."""

    def __init__(self, statement: Statement) -> None:
        self.tokens = statement.tokens
        self._statement = statement
        self.at = 0

    @property
    def done(self) -> bool:
        return self.at >= len(self.tokens)

    @property
    def next(self) -> Token:
        return Token("end", "end of input") if self.done else self.tokens[self.at]

    def take(self, *words: str) -> bool:
        """Go past these keywords or marks if they come next."""
        following = self.tokens[self.at : self.at + len(words)]
        if tuple(token.word or token.text for token in following) != words:
            return False
        self.at += len(words)
        return True

    def take_any(self, *words: str) -> str:
        """Go past one of these keywords and return it, or '' if none of them comes next."""
        return next((word for word in words if self.take(word)), "")

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise self.wrong()

    def name(self, least: int = 1, most: int = 3) -> list[str]:
        """A dotted name of that many parts."""
        parts, end = self._statement.name_at(self.at)
        if not parts:
            raise self.wrong()
        if not least <= len(parts) <= most:
            text = f"The name {'.'.join(parts)} has {len(parts)} parts; {most} at most fit here."
            raise CatalogError("IDENTIFIER_TOO_MANY_NAME_PARTS", "42601", text)
        self.at = end
        return parts

    def string(self) -> str:
        """The value of a string literal."""
        if self.next.kind not in ("string", "raw"):
            raise self.wrong()
        text = string_value(self.next)
        self.at += 1
        return text

    def number(self) -> int:
        """A whole number."""
        text = self.next.text
        if not text.isdigit():
            raise self.wrong()
        self.at += 1
        return int(text)

    def end(self) -> None:
        """Raise a syntax error when anything is left."""
        if not self.done:
            raise self.wrong()

    def wrong(self) -> EngineError:
        return EngineError(
            f"[PARSE_SYNTAX_ERROR] Syntax error at or near '{self.next.text}'. SQLSTATE: 42601",
            "PARSE_SYNTAX_ERROR",
            "42601",
        )


def string_value(token: Token) -> str:
    """What a literal stands for; a backslash stays before % and _, as in Spark."""
    if token.kind == "raw":
        return token.text[2:-1]
    quote, inner = token.text[0], token.text[1:-1]

    def plain(match: re.Match) -> str:
        if match.group() == quote * 2:
            return quote
        char = match.group(1)
        return match.group() if char in "%_" else _ESCAPES.get(char, char)

    return re.sub(r"\\(.)|" + quote * 2, plain, inner, flags=re.DOTALL)
