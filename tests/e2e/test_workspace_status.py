"""The embedded workspace's status page: what a person looks at first."""

import os
import pathlib

import pytest

SECTIONS = (
    "Serving endpoints",
    "Job runs",
    "SQL statements",
    "Pipelines",
    "Registered models",
    "Tables",
    "Usage",
)


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def enter(page):
    page.goto(os.environ["WORKSPACE_URL"])
    page.fill("input[name=token]", os.environ["WORKSPACE_TOKEN"])
    page.click("form button")
    page.wait_for_selector("h2")


def test_a_wrong_token_does_not_open_the_door(page):
    page.goto(os.environ["WORKSPACE_URL"])
    page.fill("input[name=token]", "dapi-wrong")
    page.click("form button")
    page.wait_for_selector("input[name=token]")
    assert "gold" not in page.content()


def test_the_page_shows_what_the_workspace_holds(page):
    enter(page)
    text = page.inner_text("body")
    for section in SECTIONS:
        assert section in text
    assert "nature-of-payment" in text and "finance_medallion" in text
    assert os.environ["WORKSPACE_TOKEN"] not in page.content()
    page.screenshot(path=pathlib.Path(os.environ["SCREENSHOTS"]) / "workspace-status.png")


def test_a_table_leads_to_its_versions(page):
    enter(page)
    page.click("a:has-text('vendor_spend_monthly')")
    page.wait_for_url("**/tables/main/gold/vendor_spend_monthly")
    text = page.inner_text("body")
    assert "main.gold.vendor_spend_monthly" in text and "Version" in text
