"""Rules for the addon's Python files. Each takes the text and returns the text for 19.0."""

from __future__ import annotations

import ast
import re

from .python_text import Source, is_text
from .text import Place

VIEW_TYPES = "tree|list|form|kanban|pivot|graph|search|calendar|activity"
_TREE_MODES = re.compile(rf"""(["'])(?=[^"']*tree)((?:{VIEW_TYPES})(?:,(?:{VIEW_TYPES}))*)\1""")
_TREE_TAG = re.compile(r"(</?)tree\b")
_TREE_STEP = re.compile(r"(//|/list/|/form/|/form//)tree\b")
# receivers whose groups field is not that of a user, so that there is no all_group_ids
_NOT_A_USER = re.compile(r"(menu|view|action|cron|report)s?\w*$", re.IGNORECASE)
_TWICE = re.compile(r"^( *\S.*\.check_access\(.*\)\n)\1", re.MULTILINE)
_OSV_IMPORT = re.compile(r"^from odoo\.osv import expression$", re.MULTILINE)
_OSV_NAMES = {"TRUE_DOMAIN": "[(1, '=', 1)]", "FALSE_DOMAIN": "[(0, '=', 1)]"}


def aggregators(text: str, place: Place) -> str:
    """``group_operator`` of a field is ``aggregator``."""
    return re.sub(r"\bgroup_operator\b", "aggregator", text)


def list_views(text: str, place: Place) -> str:
    """Views of type ``tree`` are ``list``: in literals, in arch text, in lxml's ``E.tree``."""
    for pattern, new in (
        (_TREE_MODES, lambda m: re.sub(r"\btree\b", "list", m[0])),
        (_TREE_TAG, r"\1list"),
        (_TREE_STEP, r"\1list"),
        (re.compile("tree_view_ref"), "list_view_ref"),
    ):
        source = Source(text, place.path)
        source.substitute_in_strings(pattern, new)
        text = source.result()
    source = Source(text, place.path)
    for node in source.nodes(ast.Attribute):
        if node.attr == "tree" and isinstance(node.value, ast.Name) and node.value.id == "E":
            source.edits.replace(*source.attribute_name_span(node), "list")
    return source.result()


def groups_fields(text: str, place: Place) -> str:
    """``groups_id``: written as ``group_ids``, read and searched as ``all_group_ids``.

    In 17.0 groups_id of a user held implied groups as well; in 19.0 group_ids holds only those
    given, and all_group_ids what follows from them.
    """
    if not re.search(r"\bgroups_id\b", text):
        return text
    if "groups_id" in place.own_fields:
        place.fail(text, text.index("groups_id"), "a field of this addon is named groups_id")
    source = Source(text, place.path)
    searched = _searched_names(source)
    for node in source.nodes(ast.Attribute):
        if node.attr == "groups_id":
            new = "group_ids" if _written(node, source) else "all_group_ids"
            if _NOT_A_USER.search(source.source(node.value)):
                new = "group_ids"
            source.edits.replace(*source.attribute_name_span(node), new)
    for node in source.nodes(ast.Constant):
        if isinstance(node.value, str) and re.fullmatch(r"(\w+\.)*groups_id", node.value):
            new = "all_group_ids" if id(node) in searched else "group_ids"
            start, end = source.span(node)
            source.edits.replace(start, end, source.text[start:end].replace("groups_id", new))
    for node in source.nodes(ast.keyword):
        if node.arg == "groups_id":
            start = source.span(node)[0]
            source.edits.replace(start, start + len("groups_id"), "group_ids")
    return source.result()


def _searched_names(source: Source) -> set[int]:
    """Ids of the nodes that are the field of a condition ``(field, operator, value)``."""
    return {id(node.elts[0]) for node in source.nodes(ast.Tuple, ast.List) if len(node.elts) == 3}


def _written(attribute: ast.Attribute, source: Source) -> bool:
    if isinstance(attribute.ctx, ast.Store):
        return True
    # user.groups_id -= group stores through an AugAssign whose target has a Store context
    return any(node.target is attribute for node in source.nodes(ast.AugAssign))


def cron_values(text: str, place: Place) -> str:
    """Values for a cron hold no ``numbercall`` and no ``doall``."""
    source = Source(text, place.path)
    for node in source.nodes(ast.Dict):
        for position, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
            if not (is_text(key, "numbercall") or is_text(key, "doall")):
                continue
            start = source.span(key)[0]
            if is_text(key, "numbercall") and source.source(value) != "-1":
                place.fail(text, start, "numbercall other than -1: 19.0 has endless crons only")
            if position + 1 < len(node.keys):
                following = node.keys[position + 1] or node.values[position + 1]
                source.edits.replace(start, source.span(following)[0], "")
            else:
                end = source.span(value)[1]
                comma = re.compile(r"\s*,").match(text, end)
                source.edits.remove_with_line(start, comma.end() if comma else end)
    return source.result()


def routes(text: str, place: Place) -> str:
    """``@route(type="json")`` is ``type="jsonrpc"``, wherever the controller lives."""
    source = Source(text, place.path)
    for node in source.nodes(ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name != "route":
            continue
        for keyword in node.keywords:
            if keyword.arg == "type" and is_text(keyword.value, "json"):
                start, end = source.span(keyword.value)
                quote = source.text[start]
                source.edits.replace(start, end, f"{quote}jsonrpc{quote}")
    return source.result()


def group_checks(text: str, place: Place) -> str:
    """``record.user_has_groups(...)`` is ``record.env.user.has_groups(...)``."""
    source = Source(text, place.path)
    for node in source.nodes(ast.Call):
        function = node.func
        if not isinstance(function, ast.Attribute) or function.attr != "user_has_groups":
            continue
        start, end = source.attribute_name_span(function)
        argument = node.args[0] if node.args else None
        if not (isinstance(argument, ast.Constant) and "!" not in str(argument.value)):
            place.fail(text, start, "user_has_groups with '!' or a computed list of groups")
        receiver = source.source(function.value)
        of_user = receiver.endswith("env.user")
        source.edits.replace(start, end, "has_groups" if of_user else "env.user.has_groups")
    return source.result()


def access_checks(text: str, place: Place) -> str:
    """``check_access_rights`` and ``check_access_rule`` are one: ``check_access``.

    Where both are called in a row, as 17.0 wants it, one call is left.
    """
    source = Source(text, place.path)
    for node in source.nodes(ast.Call):
        function = node.func
        if not isinstance(function, ast.Attribute):
            continue
        if function.attr == "_filter_access_rules":
            source.edits.replace(*source.attribute_name_span(function), "_filtered_access")
        if function.attr not in ("check_access_rights", "check_access_rule"):
            continue
        new = "check_access"
        quiet = len(node.args) > 1 or bool(node.keywords)
        if quiet:
            flag = node.args[1] if len(node.args) > 1 else node.keywords[0].value
            if not (isinstance(flag, ast.Constant) and flag.value is False):
                place.fail(text, source.span(node)[0], f"{function.attr} with a computed flag")
            source.edits.replace(source.span(node.args[0])[1], source.span(node)[1], ")")
            new = "has_access"
        source.edits.replace(*source.attribute_name_span(function), new)
    return _TWICE.sub(r"\1", source.result())


def domains(text: str, place: Place) -> str:
    """``odoo.osv.expression`` gives way to ``odoo.fields.Domain``, still as plain lists."""
    if not _OSV_IMPORT.search(text):
        return text
    source = Source(text, place.path)
    for node in source.nodes(ast.Attribute):
        if not (isinstance(node.value, ast.Name) and node.value.id == "expression"):
            continue
        start, end = source.span(node)
        if node.attr in _OSV_NAMES:
            source.edits.replace(start, end, _OSV_NAMES[node.attr])
        elif node.attr not in ("AND", "OR"):
            place.fail(text, start, f"expression.{node.attr} has no plain counterpart in 19.0")
    for node in source.nodes(ast.Call):
        function = node.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr in ("AND", "OR")
            and isinstance(function.value, ast.Name)
            and function.value.id == "expression"
        ):
            source.edits.replace(*source.span(function), f"list(Domain.{function.attr}")
            source.edits.insert(source.span(node)[1], ")")
    return _OSV_IMPORT.sub("from odoo.fields import Domain", source.result())


def sql_constraints(text: str, place: Place) -> str:
    """Nothing to change: ``upgrade_code`` makes ``models.Constraint`` of literal constraints.

    It stops without a file name at others, so these are refused here.
    """
    source = Source(text, place.path)
    for node in source.nodes(ast.Assign):
        if not any(isinstance(t, ast.Name) and t.id == "_sql_constraints" for t in node.targets):
            continue
        start = source.span(node)[0]
        try:
            ast.literal_eval(node.value)
        except ValueError:
            place.fail(text, start, "_sql_constraints must be literals")
        if "]" in source.source(node.value)[:-1]:
            place.fail(text, start, "_sql_constraints must hold no square bracket")
    return text


def config_sections(text: str, place: Place) -> str:
    """Nothing to change: ``config.misc`` is refused where its absence in 19.0 is not asked for.

    19.0 keeps only ``[options]`` of odoo.conf, so the file must be read anew there.
    """
    source = Source(text, place.path)
    for node in source.nodes(ast.Attribute):
        if node.attr != "misc" or source.source(node.value) not in ("config", "tools.config"):
            continue
        if not re.search(r"hasattr\((?:tools\.)?config, [\"']misc[\"']\)", text):
            place.fail(text, source.span(node)[0], "19.0 has no config.misc, ask hasattr before")
    return text


def form_imports(text: str, place: Place) -> str:
    """``Form`` comes from ``odoo.tests``."""
    return text.replace("from odoo.tests.common import Form\n", "from odoo.tests import Form\n")


RULES = (
    aggregators,
    list_views,
    groups_fields,
    cron_values,
    routes,
    group_checks,
    access_checks,
    domains,
    sql_constraints,
    config_sections,
    form_imports,
)
