from odoo import api, fields, models


class LakehouseViewPreview(models.TransientModel):
    """The first rows of a view's table, read when they are looked at and kept nowhere."""

    _name = "lakehouse.view.preview"
    _description = "Preview"

    view_id = fields.Many2one("lakehouse.view", required=True, ondelete="cascade")
    preview_html = fields.Html(compute="_compute_preview_html")

    @api.depends("view_id")
    def _compute_preview_html(self):
        for preview in self:
            view = preview.view_id
            preview.preview_html = view._preview_html(
                view.workspace_id, view.source_table, *view._company_column()
            )
