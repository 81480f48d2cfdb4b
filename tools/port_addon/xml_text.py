"""Elements of an XML file with their places in the text.

A parse-and-serialise round trip would reformat the file (quotes, blanks, entities). Here expat
only says where elements are, and rules edit the text between those places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from .text import Edits, PortError

_ATTRIBUTE = r"""\s+{name}\s*=\s*("[^"]*"|'[^']*')"""


@dataclass
class Element:
    """One element: ``start`` .. ``open_end`` is its opening tag, ``end`` is behind the whole."""

    tag: str
    attributes: dict[str, str]
    start: int
    open_end: int
    parent: Element | None = None
    end: int = 0
    close_start: int | None = None  # None: written as <tag/>
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def descendants(self):
        for child in self.children:
            yield child
            yield from child.descendants()

    def inside(self, tag: str) -> bool:
        """Whether an ancestor has this tag."""
        above = self.parent
        while above is not None and above.tag != tag:
            above = above.parent
        return above is not None


class Document:
    """An XML text, its elements in document order, and the edits collected on it."""

    def __init__(self, text: str, path: str):
        self.text = text
        self.path = path
        self.edits = Edits(text)
        self.elements: list[Element] = []
        self._read()

    def _read(self) -> None:
        data = self.text.encode()
        # expat counts bytes, the rules count characters
        offsets = None if len(data) == len(self.text) else _character_offsets(self.text)
        parser = expat.ParserCreate()
        parser.ordered_attributes = False
        open_elements: list[Element] = []

        def here() -> int:
            index = parser.CurrentByteIndex
            return index if offsets is None else offsets[index]

        def start(tag, attributes):
            parent = open_elements[-1] if open_elements else None
            begin = here()
            element = Element(tag, attributes, begin, _tag_end(self.text, begin), parent)
            if parent is not None:
                parent.children.append(element)
            open_elements.append(element)
            self.elements.append(element)

        def end(tag):
            element = open_elements.pop()
            if self.text[element.open_end - 2] == "/":
                element.end = element.open_end
            else:
                element.close_start = here()
                element.end = self.text.index(">", element.close_start) + 1

        def characters(data):
            if open_elements:
                open_elements[-1].text += data

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = characters
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise PortError(self.path, error.lineno, f"not well-formed XML: {error}") from error

    def rename_tag(self, element: Element, tag: str) -> None:
        begin = element.start + 1
        self.edits.replace(begin, begin + len(element.tag), tag)
        if element.close_start is not None:
            begin = element.close_start + 2
            self.edits.replace(begin, begin + len(element.tag), tag)

    def attribute_span(self, element: Element, name: str) -> tuple[int, int, int, int]:
        """(start with the blanks before it, end, start of the value, end of the value)."""
        pattern = re.compile(_ATTRIBUTE.format(name=re.escape(name)))
        match = pattern.search(self.text, element.start, element.open_end)
        if match is None:
            raise KeyError(name)
        return match.start(), match.end(), match.start(1) + 1, match.end(1) - 1

    def raw_attribute(self, element: Element, name: str) -> str:
        """The value as written, entities not resolved."""
        _start, _end, begin, end = self.attribute_span(element, name)
        return self.text[begin:end]

    def set_attribute(self, element: Element, name: str, raw: str) -> None:
        _start, _end, begin, end = self.attribute_span(element, name)
        self.edits.replace(begin, end, raw)

    def drop_attribute(self, element: Element, name: str) -> None:
        start, end, _begin, _stop = self.attribute_span(element, name)
        self.edits.replace(start, end, "")

    def remove(self, element: Element) -> None:
        self.edits.remove_with_line(element.start, element.end)

    def indentation(self, element: Element) -> str:
        """The blanks before the element on its line."""
        line_start = self.text.rfind("\n", 0, element.start) + 1
        before = self.text[line_start : element.start]
        return before if not before.strip() else ""

    def records(self, *models: str) -> list[Element]:
        return [e for e in self.elements if e.tag == "record" and e.get("model") in models]

    def result(self) -> str:
        return self.edits.apply()


def record_field(record: Element, name: str) -> Element | None:
    """The ``<field name=...>`` directly under a record, None when it is not there."""
    for child in record.children:
        if child.tag == "field" and child.get("name") == name:
            return child
    return None


def _character_offsets(text: str) -> list[int]:
    """Character offset of each byte offset of the text's UTF-8 form."""
    offsets = []
    for index, character in enumerate(text):
        offsets += [index] * len(character.encode())
    offsets.append(len(text))
    return offsets


def _tag_end(text: str, start: int) -> int:
    """Offset behind the ``>`` that closes the tag starting at ``start`` (quotes may hold one)."""
    quote = None
    for index in range(start, len(text)):
        character = text[index]
        if quote:
            if character == quote:
                quote = None
        elif character in "\"'":
            quote = character
        elif character == ">":
            return index + 1
    raise ValueError("tag without an end")
