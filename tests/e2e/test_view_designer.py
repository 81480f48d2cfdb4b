"""A table that did not exist a minute ago becomes a report of Odoo, is read, and is taken back."""

import json
import os
import urllib.request
import xmlrpc.client

import pytest

TABLE = "main.gold.e2e_deliveries"
VIEWS = "odoo_databricks.lakehouse_view_action"


def warehouse(statement):
    """Run a statement on the workspace, as a data engineer would."""
    body = {"statement": statement, "warehouse_id": "local", "wait_timeout": "30s"}
    request = urllib.request.Request(
        f"{os.environ['WORKSPACE_URL']}/api/2.0/sql/statements",
        json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {os.environ['WORKSPACE_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert answer["status"]["state"] == "SUCCEEDED", answer["status"]


def company_code():
    """The lakehouse code of the company that the person works in."""
    url, login = os.environ["ODOO_URL"], os.environ["ODOO_LOGIN"]
    database, password = os.environ["ODOO_DATABASE"], os.environ["ODOO_PASSWORD"]
    uid = xmlrpc.client.ServerProxy(f"{url}/xmlrpc/2/common").authenticate(
        database, login, password, {}
    )
    call = xmlrpc.client.ServerProxy(f"{url}/xmlrpc/2/object").execute_kw
    user = call(database, uid, password, "res.users", "read", [[uid], ["company_id"]])[0]
    found = call(
        database,
        uid,
        password,
        "res.company",
        "read",
        [[user["company_id"][0]], ["lakehouse_company_code"]],
    )
    return found[0]["lakehouse_company_code"]


@pytest.fixture
def table():
    code = company_code()
    assert code, "the site's company has a lakehouse code"
    warehouse(f"DROP TABLE IF EXISTS {TABLE}")
    rows = ", ".join(
        f"('{key}', '{of}', 'PHP', DATE'2025-0{month}-15', '{name}', "
        f"CAST({amount} AS DECIMAL(18,2)))"
        for key, of, month, name, amount in (
            ("a", code, 8, "Aliw Trading", "1000.50"),
            ("b", code, 9, "Bayan Power", "2000.25"),
            ("c", "NOBODY", 9, "Unknown", "7.00"),
        )
    )
    warehouse(
        f"CREATE TABLE {TABLE} AS SELECT * FROM VALUES {rows} "
        "AS t(row_key, company_code, currency, day, supplier_name, amount_net)"
    )
    yield
    warehouse(f"DROP TABLE IF EXISTS {TABLE}")


def open_view(odoo):
    odoo.open_action(VIEWS)
    odoo.page.click(".o_data_row td:has-text('E2e deliveries')")
    odoo.page.wait_for_selector(".o_form_view")


def test_publish_read_export_unpublish(odoo, table):
    page = odoo.page
    odoo.open_action(VIEWS)
    page.click("button:has-text('New View'):visible")
    if not page.input_value(".modal [name=workspace_id] input"):
        page.click(".modal [name=workspace_id] input")
        page.click(".o-autocomplete--dropdown-item >> nth=0")
    page.fill(".modal [name=table_id] input", "e2e_deliv")
    page.click(f".o-autocomplete--dropdown-item:has-text('{TABLE}')")
    page.wait_for_selector(".modal td:has-text('amount_net')")
    odoo.screenshot("view-designer-new")
    page.click(".modal footer button:has-text('Publish') >> nth=0")
    page.wait_for_selector(".modal", state="detached")

    open_view(odoo)
    odoo.screenshot("view-designer-published")
    page.click("button[name=action_refresh]")
    page.wait_for_selector(".o_notification")
    # the scheduled action may have been faster than the button
    while page.inner_text("button[name=action_open_report] .o_stat_value") != "2":
        page.wait_for_timeout(1000)
        page.reload()
        page.wait_for_selector("button[name=action_open_report] .o_stat_value")
    page.click(
        "header button[name=action_open_report], .o_statusbar_buttons [name=action_open_report]"
    )
    page.wait_for_selector(".o_pivot td:has-text('3,000.75')")
    page.wait_for_selector("text=data as of")
    assert page.is_visible(".o_pivot th:has-text('August 2025')")
    odoo.screenshot("view-designer-pivot")
    with page.expect_download() as download:
        page.click(".o_pivot_download")
    assert download.value.suggested_filename.endswith(".xlsx")
    page.click(".o_switch_view.o_list")
    page.wait_for_selector(".o_data_row td:has-text('Bayan Power')")
    assert not page.is_visible(".o_list_button_add")
    assert "Unknown" not in page.inner_text(".o_list_view")

    open_view(odoo)
    page.click("button[name=action_unpublish]")
    page.click(".modal footer .btn-primary")
    page.wait_for_selector("button[name=action_publish]")
    page.click(".o_menu_sections >> text=Reporting")
    page.wait_for_selector(".dropdown-item:has-text('Vendor Spend')")
    assert not page.is_visible(".dropdown-item:has-text('E2e deliveries')")
    assert not odoo.errors, odoo.errors
