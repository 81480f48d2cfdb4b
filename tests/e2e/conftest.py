"""A real browser on a running Odoo, reached by HTTP only.

`make test` sets ODOO_URL, ODOO_SERIES, ODOO_LOGIN, ODOO_PASSWORD and SCREENSHOTS.
"""

import os
import pathlib
import shutil

import pytest
from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FIRST_PAGE_MS = 240_000  # Odoo compiles its assets on the first visit
STEP_MS = 60_000
# leaving a page early cuts off the worker that it was still loading
HARMLESS = ("/bus/websocket_worker_bundle", "net::ERR_ABORTED")


class Odoo:
    """One browser page logged into Odoo; collects what a user would call an error."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.url = os.environ["ODOO_URL"]
        self.series = os.environ["ODOO_SERIES"]
        self.errors: list[str] = []
        page.set_default_timeout(STEP_MS)
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on("console", self._console)
        page.on("response", self._response)

    def _console(self, message) -> None:
        if message.type == "error" and not any(text in message.text for text in HARMLESS):
            self.errors.append(f"console: {message.text}")

    def _response(self, response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} for {response.url}")

    def login(self) -> None:
        self.page.goto(f"{self.url}/web/login", timeout=FIRST_PAGE_MS)
        self.page.fill("input[name=login]", os.environ["ODOO_LOGIN"])
        self.page.fill("input[name=password]", os.environ["ODOO_PASSWORD"])
        self.page.click("button[type=submit]")
        self.page.wait_for_selector(".o_main_navbar", timeout=FIRST_PAGE_MS)

    def open_action(self, xmlid: str) -> None:
        """Open a window action by its external id."""
        # on 17.0 only the hash would change, and the page would stay as it is
        self.page.goto("about:blank")
        path = "/web#action=" if self.series == "17.0" else "/odoo/action-"
        self.page.goto(f"{self.url}{path}{xmlid}", timeout=FIRST_PAGE_MS)
        self.page.wait_for_selector(".o_view_controller")

    def open_app(self, menu: str) -> None:
        """Open an app from the grid of apps, by the external id of its menu."""
        self.page.click(".o_navbar_apps_menu button")
        self.page.click(f".o_app[data-menu-xmlid='{menu}']")
        self.page.wait_for_selector(".o_view_controller")

    def screenshot(self, name: str) -> pathlib.Path:
        folder = pathlib.Path(os.environ["SCREENSHOTS"])
        target = folder / f"{name}-{self.series}.png"
        self.page.screenshot(path=target)
        return target


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        assert program, "set-up installs Debian's chromium"
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def odoo(browser):
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, timezone_id="Asia/Manila", locale="en-US"
    )
    session = Odoo(context.new_page())
    session.login()
    yield session
    context.close()
