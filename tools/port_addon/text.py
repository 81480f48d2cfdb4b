"""Edits on source text that leave every other byte as it was."""

from __future__ import annotations

from dataclasses import dataclass, field


class PortError(Exception):
    """A construct that no rule can carry to 19.0; the message starts with ``file:line:``."""

    def __init__(self, path: str, line: int, message: str):
        super().__init__(f"{path}:{line}: {message}")
        self.path = path
        self.line = line


@dataclass(frozen=True)
class Place:
    """Where a rule works: the file's path inside the addon and what the addon as a whole says.

    ``categories`` maps the id of an ``ir.module.category`` record of the addon to its
    (name, sequence or None); ``group_categories`` are the categories that its groups refer to;
    ``own_fields`` are the names of the fields that the addon's Python files define.
    """

    path: str
    module: str = "addon"
    categories: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    group_categories: frozenset[str] = frozenset()
    own_fields: frozenset[str] = frozenset()

    def fail(self, text: str, offset: int, message: str):
        """Raise PortError for the character at ``offset`` of ``text``, quoting its line."""
        line = line_of(text, offset)
        raise PortError(self.path, line, f"{message}: {text.splitlines()[line - 1].strip()}")


def line_of(text: str, offset: int) -> int:
    """Number (from 1) of the line that holds the character at ``offset``."""
    return text.count("\n", 0, offset) + 1


class Edits:
    """Replacements of spans of one text, applied together so that offsets stay valid."""

    def __init__(self, text: str):
        self.text = text
        self._edits: list[tuple[int, int, str]] = []

    def replace(self, start: int, end: int, new: str) -> None:
        self._edits.append((start, end, new))

    def insert(self, offset: int, new: str) -> None:
        self._edits.append((offset, offset, new))

    def remove_with_line(self, start: int, end: int) -> None:
        """Remove a span, and the line break and indentation before it when it starts its line."""
        before = start
        while before > 0 and self.text[before - 1] in " \t":
            before -= 1
        if before > 0 and self.text[before - 1] == "\n":
            start = before - 1
            if start > 0 and self.text[start - 1] == "\r":
                start -= 1
        self.replace(start, end, "")

    def apply(self) -> str:
        """The edited text. ValueError when two edits overlap, which is a fault of a rule."""
        pieces, position = [], 0
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2]):
            if start < position:
                raise ValueError(f"overlapping edits at offset {start}")
            pieces += [self.text[position:start], new]
            position = end
        pieces.append(self.text[position:])
        return "".join(pieces)
