"""The views of a published model: list, pivot, graph, form and search, from its columns."""

from lxml import etree
from lxml.builder import E

READ_ONLY = {"create": "0", "edit": "0", "delete": "0", "duplicate": "0"}
MEASURES = ("integer", "float", "monetary")
# more than this many of a kind are shown on request
SHOWN_MEASURES, SHOWN_OTHERS = 4, 6
GROUPINGS = 8
COMPANY = {"groups": "base.group_multi_company"}


class Architect:
    """Makes the arch of each view; columns is a recordset of lakehouse.view.column."""

    def __init__(self, columns, title, texts):
        self.title = title
        self.texts = texts
        self.shown = columns._shown()
        roles = set(columns.mapped("role"))
        self.has_partner = "partner_tin" in roles
        self.has_currency = "currency" in roles
        self.dates = self._names("date", "datetime")
        self.texts_fields = self._names("char")
        self.measures = [
            column._field_name()
            for column in self.shown
            if column.ttype in MEASURES and column.aggregation == "sum"
        ]

    def _names(self, *kinds):
        return [column._field_name() for column in self.shown if column.ttype in kinds]

    def views(self):
        """[(view type, arch)] in the order in which a person meets them."""
        made = [
            ("pivot", self.pivot()),
            ("graph", self.graph()),
            ("tree", self.list()),
            ("form", self.form()),
            ("search", self.search()),
        ]
        return [(kind, etree.tostring(arch, encoding="unicode")) for kind, arch in made]

    def list(self):
        arch = E.tree(E.field(name="company_id", **COMPANY), **READ_ONLY, **{"import": "0"})
        if self.has_partner:
            arch.append(E.field(name="x_partner_id", optional="show"))
        left = {True: SHOWN_MEASURES, False: SHOWN_OTHERS}
        for column in self.shown:
            name = column._field_name()
            measure = name in self.measures
            attributes = {"sum": column.label} if measure else {}
            attributes["optional"] = "show" if left[measure] > 0 else "hide"
            left[measure] -= 1
            arch.append(E.field(name=name, **attributes))
        if self.has_currency:
            arch.append(E.field(name="x_currency_id", optional="show"))
        arch.append(E.field(name="data_as_of", optional="hide"))
        drill = {"name": "action_drill", "type": "object"}
        arch.insert(0, E.header(E.button(string=self.texts["source"], **drill)))
        arch.append(E.button(title=self.texts["source"], icon="fa-search-plus", **drill))
        return arch

    def pivot(self):
        arch = E.pivot(string=self.title, sample="0")
        arch.append(self._row())
        if self.has_currency:
            arch.append(E.field(name="x_currency_id", type="col"))
        for name in self.measures[:3]:
            arch.append(E.field(name=name, type="measure"))
        return arch

    def graph(self):
        arch = E.graph(self._row(), string=self.title, type="bar", sample="0")
        for name in self.measures[:1]:
            arch.append(E.field(name=name, type="measure"))
        return arch

    def _row(self):
        if self.dates:
            return E.field(name=self.dates[0], interval="month", type="row")
        return E.field(name="company_id", type="row")

    def form(self):
        half = (len(self.shown) + 1) // 2
        left, right = E.group(), E.group()
        left.append(E.field(name="company_id", **COMPANY))
        if self.has_partner:
            left.append(E.field(name="x_partner_id"))
        for column in self.shown[:half]:
            left.append(E.field(name=column._field_name()))
        for column in self.shown[half:]:
            right.append(E.field(name=column._field_name()))
        if self.has_currency:
            right.append(E.field(name="x_currency_id"))
        right.append(E.field(name="remote_key"))
        right.append(E.field(name="data_as_of"))
        return E.form(E.sheet(E.group(left, right)), **READ_ONLY)

    def search(self):
        arch = E.search()
        for name in self.texts_fields:
            arch.append(E.field(name=name))
        if self.has_partner:
            arch.append(E.field(name="x_partner_id"))
        arch.append(E.field(name="company_id", **COMPANY))
        for name in self.dates:
            arch.append(E.separator())
            arch.append(E.filter(name=f"filter_{name}", date=name))
        groups = E.group()
        for name in self.dates:
            groups.append(self._group_filter(name, f"{name}:month"))
        others = ["x_partner_id"] if self.has_partner else []
        others += ["x_currency_id"] if self.has_currency else []
        for name in others + self.texts_fields[:GROUPINGS]:
            groups.append(self._group_filter(name, name))
        groups.append(
            E.filter(
                name="group_company_id",
                string=self.texts["company"],
                context="{'group_by': 'company_id'}",
                **COMPANY,
            )
        )
        arch.append(groups)
        return arch

    def _group_filter(self, name, spec):
        label = {"x_partner_id": self.texts["partner"], "x_currency_id": self.texts["currency"]}
        labels = {column._field_name(): column.label for column in self.shown}
        return E.filter(
            name=f"group_{name}",
            string=label.get(name) or labels[name],
            context=f"{{'group_by': '{spec}'}}",
        )
