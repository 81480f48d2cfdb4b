"""Makes `lib` importable as a top-level package, so that Odoo is not needed for its tests."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ADDON = HERE.parents[1] / "odoo_databricks"
sys.path[:0] = [str(ADDON), str(HERE)]


@pytest.fixture(autouse=True)
def _no_outer_settings(monkeypatch):
    """A developer's proxy must not stand between the tests and their servers."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def faulty():
    from faulty_server import FaultyServer

    with FaultyServer().running() as server:
        yield server
