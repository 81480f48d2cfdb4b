"""An accountant's way through the browser: a bill, its proposals, a decision, the figures."""

import itertools
import os

import pytest
import requests

QUEUE = "odoo_databricks.bir_queue_action"
LAKEHOUSE = "odoo_databricks.lakehouse_root_menu"
RUNS = "odoo_databricks.databricks_pipeline_run_action"
_ids = itertools.count(1)


def rpc(model: str, method: str, *args, **kwargs):
    """One call as the same user, for looking up what the browser is then shown."""
    database, password = os.environ["ODOO_DATABASE"], os.environ["ODOO_PASSWORD"]
    user = _send("common", "login", database, os.environ["ODOO_LOGIN"], password)
    return _send(
        "object", "execute_kw", database, user, password, model, method, list(args), kwargs
    )


def _send(service: str, method: str, *args):
    params = {"service": service, "method": method, "args": args}
    body = {"jsonrpc": "2.0", "method": "call", "id": next(_ids), "params": params}
    answer = requests.post(f"{os.environ['ODOO_URL']}/jsonrpc", json=body, timeout=120).json()
    assert "error" not in answer, answer["error"]
    return answer.get("result")


def own_company() -> int:
    """The company that the browser shows after login."""
    user = [("login", "=", os.environ["ODOO_LOGIN"])]
    return rpc("res.users", "search_read", user, fields=["company_id"])[0]["company_id"][0]


@pytest.fixture(scope="module")
def certain_bill():
    """A bill whose required fields are all certain and undecided; one with tax withheld first."""
    waiting = [
        ("company_id", "=", own_company()),
        ("move_type", "=", "in_invoice"),
        ("bir_state", "=", "to_review"),
    ]
    found = []
    for bill in rpc("account.move", "search_read", waiting, fields=["ref"]):
        wizard = rpc("account.move", "action_bir_autofill", [bill["id"]])["res_id"]
        names = ["decided_count", "open_count", "served_entity"]
        before = rpc("bir.autofill.wizard", "read", [wizard], names)[0]
        assert before["served_entity"], "the served model did not answer"
        rpc("bir.autofill.wizard", "action_accept_certain", [wizard])
        after = rpc("bir.autofill.wizard", "read", [wizard], names)[0]
        if not before["decided_count"] and not after["open_count"]:
            codes = [
                ("wizard_id", "=", wizard),
                ("field_name", "=", "bir_atc"),
                ("proposed_value", "=like", "W%"),
            ]
            found.append((-rpc("bir.autofill.wizard.line", "search_count", codes), bill))
    assert found, "on each of the demo's bills a required field is uncertain"
    return min(found, key=lambda entry: entry[0])[1]


def test_bill_is_auto_filled_accepted_and_submitted(odoo, certain_bill):
    page = odoo.page
    odoo.open_action(QUEUE)
    page.fill(".o_searchview_input", certain_bill["ref"])
    page.keyboard.press("Enter")
    page.wait_for_selector(f".o_facet_value:has-text('{certain_bill['ref']}')")
    page.click(f".o_data_row:has-text('{certain_bill['ref']}') td[name=partner_id]")

    page.click("button[name=action_bir_autofill]")
    review = page.locator(".modal .o_bir_autofill")
    review.wait_for()
    assert "demo data, no accuracy claimed" in review.inner_text()
    odoo.screenshot("bir-review")

    review.locator(".o_bir_accept_all").click()
    page.locator(".modal .o_bir_submit").click()
    # the bill is shown anew: what was submitted can only be reopened
    page.wait_for_selector("button[name=action_bir_reopen]")

    page.click("a[name=bir]")
    page.wait_for_selector("div[name=bir_state]:has-text('Submitted')")
    page.wait_for_selector("a[name=bir].active")
    odoo.screenshot("bill-submitted")
    assert page.locator("button[name=action_bir_autofill]").count() == 0
    assert odoo.errors == []

    domain = [("move_id", "=", certain_bill["id"]), ("decision", "=", "accept")]
    kept = rpc("bir.prediction", "search_read", domain, fields=["model_name", "decided_by"])
    assert kept and all(row["decided_by"] for row in kept)
    assert {row["model_name"] for row in kept} >= {"main.ml.nature_of_payment"}


def test_a_submitted_bill_refuses_changes(certain_bill):
    line = rpc("account.move.line", "search", [("move_id", "=", certain_bill["id"])], limit=1)
    with pytest.raises(AssertionError, match="submitted"):
        rpc("account.move.line", "write", line, {"bir_nature": "rent"})


def test_pivot_shows_the_gold_tables_figures(odoo):
    page = odoo.page
    odoo.open_app(LAKEHOUSE)
    page.wait_for_selector(".o_pivot table")
    odoo.screenshot("vendor-spend-pivot")
    rows = rpc(
        "lakehouse.vendor.spend.monthly",
        "search_read",
        [("company_id", "=", own_company())],
        fields=["amount_gross"],
    )
    total = f"{sum(row['amount_gross'] for row in rows):,.2f}"
    assert total in page.inner_text(".o_pivot table")
    page.click(".o_switch_view.o_list")
    page.wait_for_selector(".o_list_table tbody tr")
    odoo.screenshot("vendor-spend-list")
    page.click(".o_switch_view.o_graph")
    page.wait_for_selector(".o_graph_renderer canvas")
    odoo.screenshot("vendor-spend-graph")
    assert odoo.errors == []


def test_the_scheduled_run_can_be_followed(odoo):
    page = odoo.page
    odoo.open_action(RUNS)
    row = ".o_data_row:has-text('Month-end ETL'):has-text('Succeeded')"
    page.wait_for_selector(row)
    page.locator(row).first.locator("td.o_data_cell").first.click()
    page.wait_for_selector(".o_form_view:has-text('gold')")
    odoo.screenshot("pipeline-run")
    assert odoo.errors == []
