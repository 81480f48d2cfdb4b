from markupsafe import Markup


def html_table(heads, rows):
    """A table of plain values; whatever a value holds is shown, never run."""
    head = Markup().join(Markup("<th>%s</th>") % text for text in heads)
    body = Markup().join(
        Markup("<tr>%s</tr>")
        % Markup().join(
            Markup("<td>%s</td>") % ("" if value is None else str(value)) for value in row
        )
        for row in rows
    )
    return Markup(
        '<div class="table-responsive"><table class="table table-sm table-striped">'
        "<thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>"
    ) % (head, body)
