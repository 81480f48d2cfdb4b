"""Nodes of a Python file with their places in the text."""

from __future__ import annotations

import ast
import re

from .text import Edits, PortError


class Source:
    """A Python text, its syntax tree, and the edits collected on it."""

    def __init__(self, text: str, path: str):
        self.text = text
        self.edits = Edits(text)
        try:
            self.tree = ast.parse(text)
        except SyntaxError as error:
            raise PortError(path, error.lineno or 1, f"not valid Python: {error.msg}") from error
        self._lines = [0]
        # not splitlines(): it also splits at form feeds, which are no line ends for Python
        for line in text.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)

    def line_start(self, line: int) -> int:
        """Offset of the first character of a line (counted from 1)."""
        return self._lines[line - 1]

    def offset(self, line: int, byte_column: int) -> int:
        """Character offset; ast counts lines from 1 and columns in UTF-8 bytes."""
        begin = self._lines[line - 1]
        end = self._lines[line]
        return begin + len(self.text[begin:end].encode()[:byte_column].decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.offset(node.lineno, node.col_offset)
        return start, self.offset(node.end_lineno, node.end_col_offset)

    def source(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def nodes(self, *kinds):
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def attribute_name_span(self, node: ast.Attribute) -> tuple[int, int]:
        """Place of ``name`` in ``value.name``: an attribute ends with its name."""
        _start, end = self.span(node)
        return end - len(node.attr), end

    def strings(self):
        """Spans of the string literals, quotes included; an f-string is one span."""
        inside = set()
        for node in self.nodes(ast.JoinedStr):
            inside |= {id(part) for part in ast.walk(node) if part is not node}
        for node in self.nodes(ast.Constant, ast.JoinedStr):
            is_text = isinstance(node, ast.JoinedStr) or isinstance(node.value, str)
            if is_text and id(node) not in inside:
                yield self.span(node)

    def substitute_in_strings(self, pattern: re.Pattern, new) -> None:
        """Apply one pattern inside every string literal."""
        for start, end in self.strings():
            old = self.text[start:end]
            changed = pattern.sub(new, old)
            if changed != old:
                self.edits.replace(start, end, changed)

    def result(self) -> str:
        return self.edits.apply()


def is_text(node: ast.AST | None, value: str) -> bool:
    """Whether a node is this very string literal."""
    return isinstance(node, ast.Constant) and node.value == value
