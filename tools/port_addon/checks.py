"""What must not be in the addon: before the port what no rule carries over, after it leftovers.

Both are lists of (pattern, message). They are asked of the code; comments and docstrings, which may
well speak of both series, are blanked out first.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize

from .python_text import Source
from .text import PortError, line_of

UNPORTABLE = {
    ".py": (
        (r"\bdef name_get\(", "name_get is gone: write _compute_display_name"),
        (r"\bdef _name_search\(", "_name_search is gone: use _rec_names_search"),
        (r"\.read_group\(", "read_group is deprecated: use _read_group"),
        (r"\bapi\.returns\b", "api.returns is gone"),
        (r"\bfrom odoo import .*\bregistry\b", "use odoo.modules.registry.Registry"),
        (r"\bget_module_resource\b", "get_module_resource is gone: use file_path or file_open"),
        (r"\blocals_dict\s*=", "safe_eval takes its values by position"),
        (r"\bodoo\.tools\.misc\.xlsxwriter\b", "import xlsxwriter itself"),
        (r"\bmethod_direct_trigger\(", "use cron.ir_actions_server_id.run(), same on both series"),
        (r"\bchart_template_ref\s*=", "set the chart up by account.chart.template.try_loading"),
        (r"\b_inherit\s*=\s*[\"']hr\.expense\.sheet[\"']", "19.0 has no hr.expense.sheet"),
        (r"\bfields\.\w+\(\s*[\"']hr\.expense\.sheet[\"']", "19.0 has no hr.expense.sheet"),
        (r"\bimport odoo_test_helper|from odoo_test_helper", "its import fails on 19.0"),
    ),
    ".xml": (
        (r"<(?:attribute name=[\"'])?(?:attrs|states)=", "attrs and states are gone"),
        (r"\bmodel=[\"']hr\.expense\.sheet[\"']", "19.0 has no hr.expense.sheet"),
    ),
    ".js": ((r"useService\([\"'](rpc|user)[\"']\)", "the rpc and user services are gone"),),
}

LEFTOVERS = {
    ".py": (
        (r"</?tree\b", "<tree> in an arch"),
        (r"tree_view_ref", "tree_view_ref"),
        (r"[\"']tree[\"'](?!\s*:)", "view type tree"),
        (r"[\"'](?:\w+,)*tree(?:,\w+)+[\"']", "view mode tree"),
        (r"\b_sql_constraints\b", "_sql_constraints, which upgrade_code could not rewrite"),
        (r"\bgroup_operator\b", "group_operator"),
        (r"\bgroups_id\b", "groups_id"),
        (r"\buser_has_groups\b", "user_has_groups"),
        (r"\bcheck_access_rights\b|\bcheck_access_rule\b", "old access check"),
        (r"[\"'](numbercall|doall)[\"']\s*:", "cron field of 17.0"),
        (r"\.(numbercall|doall)\s*=(?!=)", "cron field of 17.0"),
        (r"\btype\s*=\s*[\"']json[\"']", "route of type json"),
        (r"\._(cr|uid|context)\b", "self._cr, _uid or _context"),
        (r"\bodoo\.osv\b", "odoo.osv"),
        (r"[\"']version[\"']\s*:\s*[\"']17\.0", "version of 17.0"),
        (r"oe_chatter", "chatter div"),
        (r"\bconfig\.get_misc\b", "section of odoo.conf, which 19.0 does not keep"),
    ),
    ".xml": (
        (r"</?tree\b", "<tree>"),
        (r"tree_view_ref", "tree_view_ref"),
        (r"name=[\"']view_mode[\"'][^>]*>[^<]*\btree\b", "view mode tree"),
        (r"oe_chatter", "chatter div"),
        (r"kanban-(box|menu)", "kanban template of 17.0"),
        (r"name=[\"'](numbercall|doall)[\"']", "cron field of 17.0"),
        (r"\bgroups_id\b", "groups_id"),
        (r"<group\b[^>]*\bexpand=", "expand of a search group"),
        (r"name=[\"']target[\"']>\s*inline", "target inline"),
    ),
    ".csv": ((r"\bgroups_id\b", "groups_id"),),
}


def first_unportable(text: str, path: str) -> PortError | None:
    """The first construct of a 17.0 file that no rule ports, None when there is none."""
    return next(iter(_found(text, path, UNPORTABLE, "cannot be ported")), None)


def leftovers(text: str, path: str) -> list[PortError]:
    """Constructs of 17.0 in a ported file."""
    return _found(text, path, LEFTOVERS, "is left of 17.0")


def _found(text: str, path: str, table: dict, how: str) -> list[PortError]:
    suffix = path[path.rfind(".") :]
    if suffix == ".py":
        text = _without_python_comments(text, path)
    elif suffix == ".xml":
        text = re.sub(r"<!--.*?-->", lambda match: _blank(match[0]), text, flags=re.DOTALL)
    return [
        PortError(path, line_of(text, match.start()), f"{match[0].strip()!r} {how}: {message}")
        for pattern, message in table.get(suffix, ())
        for match in re.finditer(pattern, text)
    ]


def _blank(text: str) -> str:
    """Blanks in place of every character but line breaks, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", text)


def _without_python_comments(text: str, path: str) -> str:
    source = Source(text, path)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            # tokenize counts columns in characters, unlike ast
            start = source.line_start(token.start[0]) + token.start[1]
            source.edits.replace(start, start + len(token.string), _blank(token.string))
    for node in source.nodes(ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef):
        first = node.body[0] if node.body else None
        is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        if is_docstring and isinstance(first.value.value, str):
            start, end = source.span(first)
            source.edits.replace(start, end, _blank(text[start:end]))
    return source.result()
