"""Pages of Unity Catalog's lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import bad_request

PAGE = 1000
Item = TypeVar("Item")


def page(
    items: list[Item], max_results: int, key: Callable[[Item], object]
) -> tuple[list[Item], dict]:
    """The first page of ``items``, and what the answer says about the next one.

    A page token is the key after which the page begins; the caller leaves out what comes before.
    Asked for 0 results, a page has our own size.
    """
    if max_results < 0:
        raise bad_request("max_results must not be negative.")
    size = min(max_results or PAGE, PAGE)
    more = {"next_page_token": str(key(items[size - 1]))} if len(items) > size else {}
    return items[:size], more
