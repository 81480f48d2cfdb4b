"""Each port rule on small texts: 17.0 in, 19.0 or an error out (the cases are in port_cases/)."""

import re
from pathlib import Path

import pytest

from tools.port_addon import PortError, rules_data, rules_python, rules_xml
from tools.port_addon.port import survey
from tools.port_addon.text import Edits, Place, line_of

CASES = Path(__file__).parent / "port_cases"
KINDS = {
    "xml": (rules_xml, "addon.xml"),
    "python": (rules_python, "addon.py"),
    "data": (rules_data, "addon.py"),
}
ALL_RULES = {
    rule.__name__
    for rule in (
        *rules_xml.RULES,
        *rules_python.RULES,
        *rules_data.MANIFEST_RULES,
        *rules_data.CSV_RULES,
        *rules_data.PO_RULES,
    )
}


def read_cases():
    for kind in KINDS:
        text = (CASES / f"{kind}.txt").read_text()
        for block in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
            head, rest = block.split("\n", 1)
            old, how, new = re.split(r"^--- (19\.0|error)\n", rest, flags=re.MULTILINE)
            yield pytest.param(kind, head, old, how, new.strip("\n") + "\n", id=f"{kind}-{head}")


def place_for(kind, head, old, tmp_path):
    """What the port would know of an addon that has this one file."""
    named = re.search(r"\(file (\S+)\)", head)
    path = named[1] if named else KINDS[kind][1]
    if kind == "xml":
        (tmp_path / path).write_text(old)
        return Place(path, *survey(tmp_path, "addon"))
    category = re.search(r"\(category (\w+)\)", head)
    own = re.search(r"\(own field (\w+)\)", head)
    return Place(
        path,
        group_categories=frozenset([category[1]] if category else []),
        own_fields=frozenset([own[1]] if own else []),
    )


@pytest.mark.parametrize("kind, head, old, how, new", list(read_cases()))
def test_rule(kind, head, old, how, new, tmp_path):
    named = re.search(r"\(rule (\w+)\)", head)
    rule = getattr(KINDS[kind][0], named[1] if named else head.split(":")[0])
    if how == "error":
        with pytest.raises(PortError) as raised:
            rule(
                old,
                place_for(kind, head, old, tmp_path)
                if "well-formed" not in head
                else Place("addon.xml"),
            )
        assert new.strip() in str(raised.value)
        return
    place = place_for(kind, head, old.strip("\n") + "\n", tmp_path)
    once = rule(old.strip("\n") + "\n", place)
    assert once == new
    assert rule(once, place) == once, "a second run of the rule changes its own result"


def test_every_rule_has_a_case():
    seen = set()
    for param in read_cases():
        seen.add(param.values[1].split(":")[0])
    assert ALL_RULES <= seen


def test_an_edit_keeps_every_other_byte():
    text = "\tä <a  b = 'c'/>\r\n<x>\r\n"
    edits = Edits(text)
    edits.replace(text.index("'c'"), text.index("'c'") + 3, "'d'")
    assert edits.apply() == text.replace("'c'", "'d'")
    assert line_of(text, text.index("<x>")) == 2


def test_overlapping_edits_are_a_fault():
    edits = Edits("abcdef")
    edits.replace(0, 3, "x")
    edits.replace(2, 4, "y")
    with pytest.raises(ValueError, match="overlapping edits"):
        edits.apply()
