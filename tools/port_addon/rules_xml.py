"""Rules for the addon's XML files. Each takes the text and returns the text for 19.0."""

from __future__ import annotations

import ast
import re

from .text import Place
from .xml_text import Document, Element, record_field

# models whose many2many to the groups was renamed from groups_id to group_ids in 19.0
GROUPS_MODELS = (
    "ir.actions.act_url",
    "ir.actions.act_window",
    "ir.actions.actions",
    "ir.actions.client",
    "ir.actions.report",
    "ir.actions.server",
    "ir.cron",
    "ir.ui.menu",
    "ir.ui.view",
    "res.users",
)
KANBAN_TEMPLATES = {"kanban-box": "card", "kanban-menu": "menu"}
# helpers of the 17.0 kanban compiler that 19.0's does not have
KANBAN_HELPERS = re.compile(r"\bkanban_(image|color|getcolor)\s*\(")
PERIODS = {
    "this_month": "month",
    "last_month": "month-1",
    "antepenultimate_month": "month-2",
    "this_year": "year",
    "last_year": "year-1",
    "antepenultimate_year": "year-2",
}
_TREE_STEP = re.compile(r"(^|[/(|])tree(?=$|[/\[)|])")
_CHATTER_STEP = re.compile(
    r"""div\[(?:hasclass\((["'])oe_chatter\1\)|@class=(["'])oe_chatter\2)\]"""
)
_TREE_MODE = re.compile(r"(^|,)(\s*)tree(?=\s*(?:,|$))")
_TREE_QUOTED = re.compile(r"""(["'])tree\1""")
_GROUPS_IN_DOMAIN = re.compile(r"""(["'])((?:\w+\.)*)groups_id\1""")


def chatter(text: str, place: Place) -> str:
    """``<div class="oe_chatter">`` becomes ``<chatter/>``, also as a step of an xpath."""
    document = Document(text, place.path)
    for element in document.elements:
        if element.tag == "div" and "oe_chatter" in (element.get("class") or "").split():
            document.edits.replace(
                element.start, element.end, _chatter_tag(document, element, place)
            )
        elif element.tag == "xpath" and "oe_chatter" in (element.get("expr") or ""):
            raw = document.raw_attribute(element, "expr")
            new = _CHATTER_STEP.sub("chatter", raw)
            if "oe_chatter" in new:
                place.fail(text, element.start, f"unknown way to find the chatter: {raw}")
            document.set_attribute(element, "expr", new)
    return document.result()


def _chatter_tag(document: Document, element: Element, place: Place) -> str:
    attributes = ""
    for name in element.attributes:
        if name in ("groups", "invisible"):
            start, end, _begin, _stop = document.attribute_span(element, name)
            attributes += " " + document.text[start:end].strip()
        elif name != "class":
            place.fail(document.text, element.start, f"attribute {name} of the chatter")
    for child in element.descendants():
        name = child.get("name") or ""
        if child.tag != "field" or name not in (
            "message_follower_ids",
            "activity_ids",
            "message_ids",
        ):
            place.fail(document.text, child.start, f"<{child.tag}> {name} inside the chatter")
        options = ast.literal_eval(child.get("options") or "{}")
        for option, value in options.items():
            if option == "post_refresh" and value:
                where = "follower" if name == "message_follower_ids" else "post"
                attributes += f' reload_on_{where}="True"'
            elif option == "open_attachments" and value:
                attributes += ' open_attachments="True"'
            elif value:
                place.fail(document.text, child.start, f"option {option} of the chatter")
    return f"<chatter{attributes}/>"


def kanban_templates(text: str, place: Place) -> str:
    """The kanban template ``kanban-box`` is called ``card``, ``kanban-menu`` is ``menu``."""
    document = Document(text, place.path)
    for element in document.elements:
        new = KANBAN_TEMPLATES.get(element.get("t-name") or "")
        if new and element.inside("kanban"):
            document.set_attribute(element, "t-name", new)
        elif element.tag == "xpath":
            raw = document.raw_attribute(element, "expr") if element.get("expr") else ""
            renamed = raw
            for old, card in KANBAN_TEMPLATES.items():
                renamed = re.sub(rf"""(@t-name=(["'])){old}\2""", rf"\g<1>{card}\2", renamed)
            if renamed != raw:
                document.set_attribute(element, "expr", renamed)
        if element.inside("kanban"):
            for value in element.attributes.values():
                if KANBAN_HELPERS.search(value):
                    place.fail(text, element.start, f"kanban helper that 19.0 lacks: {value}")
    return document.result()


def cron_calls(text: str, place: Place) -> str:
    """Crons have no ``numbercall`` and ``doall``: they always run until switched off."""
    document = Document(text, place.path)
    for cron in document.records("ir.cron"):
        for name in ("numbercall", "doall"):
            element = record_field(cron, name)
            if element is None:
                continue
            value = element.get("eval") or element.text.strip()
            if name == "numbercall" and value != "-1":
                place.fail(text, element.start, f"numbercall {value}: 19.0 has endless crons only")
            document.remove(element)
    return document.result()


def group_privileges(text: str, place: Place) -> str:
    """A group belongs to a ``res.groups.privilege``, which belongs to the category.

    Each category that groups refer to gets one privilege of its name, ``<category>_privilege``,
    written behind the category.
    """
    document = Document(text, place.path)
    present = {e.get("id") for e in document.records("res.groups.privilege")}
    for category in document.records("ir.module.category"):
        own = _local(category.get("id") or "", place)
        if own in place.group_categories and f"{own}_privilege" not in present:
            indent = document.indentation(category)
            document.edits.insert(category.end, _privilege_record(own, place, indent))
    for group in document.records("res.groups"):
        element = record_field(group, "category_id")
        if element is None:
            continue
        reference = element.get("ref")
        if not reference:
            place.fail(text, element.start, "category_id of a group must be given by ref=")
        own = _local(reference, place)
        if own not in place.categories:
            place.fail(text, element.start, f"category {reference} is not a record of this addon")
        document.set_attribute(element, "name", "privilege_id")
        document.set_attribute(element, "ref", f"{own}_privilege")
    return document.result()


def _privilege_record(category: str, place: Place, indent: str) -> str:
    name, sequence = place.categories[category]
    lines = [f'<record id="{category}_privilege" model="res.groups.privilege">']
    lines.append(f'    <field name="name">{name}</field>')
    if sequence is not None:
        lines.append(f'    <field name="sequence">{sequence}</field>')
    lines.append(f'    <field name="category_id" ref="{category}" />')
    lines.append("</record>")
    return "".join(f"\n{indent}{line}" for line in lines)


def group_members(text: str, place: Place) -> str:
    """The users of a group are ``user_ids``."""
    document = Document(text, place.path)
    for group in document.records("res.groups"):
        element = record_field(group, "users")
        if element is not None:
            document.set_attribute(element, "name", "user_ids")
    return document.result()


def groups_fields(text: str, place: Place) -> str:
    """``groups_id`` of users, menus, views and actions is ``group_ids``.

    Domains look for implied groups too, as 17.0's groups_id held them: ``all_group_ids``.
    """
    document = Document(text, place.path)
    for record in document.records(*GROUPS_MODELS):
        element = record_field(record, "groups_id")
        if element is not None:
            document.set_attribute(element, "name", "group_ids")
    for element in document.elements:
        for name in ("domain", "filter_domain", "context"):
            if "groups_id" in (element.get(name) or ""):
                raw = document.raw_attribute(element, name)
                new = _GROUPS_IN_DOMAIN.sub(r"\1\2all_group_ids\1", raw)
                if new != raw:
                    document.set_attribute(element, name, new)
    return document.result()


def search_groups(text: str, place: Place) -> str:
    """A ``<group>`` of a search view has neither ``expand`` nor ``string``.

    ``expand`` exists in search views only, so it also tells one in an inherited view.
    """
    document = Document(text, place.path)
    for element in document.elements:
        if element.tag == "group" and (element.inside("search") or element.get("expand")):
            for name in ("expand", "string"):
                if element.get(name) is not None:
                    document.drop_attribute(element, name)
    return document.result()


def filter_periods(text: str, place: Place) -> str:
    """``default_period`` of a date filter: ``this_month`` is ``month``, and so on."""
    document = Document(text, place.path)
    for element in document.elements:
        if element.tag == "filter" and element.get("default_period"):
            raw = document.raw_attribute(element, "default_period")
            new = ",".join(PERIODS.get(p.strip(), p) for p in raw.split(","))
            if new != raw:
                document.set_attribute(element, "default_period", new)
    return document.result()


def list_views(text: str, place: Place) -> str:
    """What ``upgrade_code`` left of ``tree``: elements, xpath steps, view modes, view refs."""
    document = Document(text, place.path)
    for element in document.elements:
        if element.tag == "tree":
            document.rename_tag(element, "list")
        elif element.tag == "xpath" and element.get("expr"):
            _rewrite(document, element, "expr", _TREE_STEP, r"\1list")
        elif element.tag == "field" and element.get("name") in ("view_mode", "binding_view_types"):
            _rewrite_text(document, element)
        if element.get("view_mode"):
            _rewrite(document, element, "view_mode", _TREE_MODE, r"\1\2list")
        if element.tag == "field" and element.get("mode"):
            _rewrite(document, element, "mode", _TREE_MODE, r"\1\2list")
        for name in ("context", "eval"):
            if element.get(name) and "tree" in element.get(name):
                raw = document.raw_attribute(element, name)
                new = _TREE_QUOTED.sub(r"\1list\1", raw.replace("tree_view_ref", "list_view_ref"))
                if new != raw:
                    document.set_attribute(element, name, new)
    return document.result()


def _rewrite(document: Document, element: Element, name: str, pattern, new: str) -> None:
    raw = document.raw_attribute(element, name)
    changed = pattern.sub(new, raw)
    if changed != raw:
        document.set_attribute(element, name, changed)


def _rewrite_text(document: Document, element: Element) -> None:
    """Rewrite the view types that are the text of a ``<field>``."""
    if element.close_start is None or element.children:
        return
    raw = document.text[element.open_end : element.close_start]
    changed = _TREE_MODE.sub(r"\1\2list", raw)
    if changed != raw:
        document.edits.replace(element.open_end, element.close_start, changed)


def inline_target(text: str, place: Place) -> str:
    """A window action has no target ``inline``; the settings page opens as ``current``."""
    document = Document(text, place.path)
    for action in document.records("ir.actions.act_window"):
        element = record_field(action, "target")
        if element is not None and element.text.strip() == "inline":
            document.edits.replace(element.open_end, element.close_start, "current")
    return document.result()


def _local(xmlid: str, place: Place) -> str:
    """The id without the addon's own name before it."""
    return xmlid.removeprefix(f"{place.module}.")


RULES = (
    chatter,
    kanban_templates,
    cron_calls,
    group_privileges,
    group_members,
    groups_fields,
    search_groups,
    filter_periods,
    list_views,
    inline_target,
)
