"""The client of the benchmark serving, in a process of its own: one by one, or at a fixed rate.

Reads a JSON order from standard input and prints a JSON answer as its last line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from urllib.parse import urlsplit

LIMIT_SECONDS = 30


class Connection:
    """One keep-alive connection that knows just enough HTTP for this one request."""

    def __init__(self, order: dict) -> None:
        self._order = order
        where = urlsplit(order["host"])
        self._address = where.hostname, where.port
        body = json.dumps(order["body"])
        self._request = (
            f"POST {order['path']} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"Authorization: Bearer {order['token']}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> tuple[int, bytes]:
        """Returns (status, body)."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return int(head[9:12]), await reader.readexactly(size)


async def one_by_one(order: dict) -> list[float]:
    """Milliseconds of each of ``count`` requests on one connection."""
    connection = Connection(order)
    times = []
    for _ in range(order["count"]):
        began = time.perf_counter()
        status, body = await connection.ask()
        times.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise RuntimeError(f"status {status}: {body[:500]!r}")
    return times


async def at_rate(order: dict) -> dict:
    """Open loop: a request is due every 1/rate seconds, whatever became of the others.

    A latency counts from when the request was due, so that a server that falls behind cannot hide
    it. Returns {sent, errors, seconds, times}.
    """
    free: list[Connection] = []
    times: list[float] = []
    errors: list[str] = []
    running: set[asyncio.Task] = set()

    async def send(due: float) -> None:
        connection = free.pop() if free else Connection(order)
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                status, body = await connection.ask()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            return
        times.append((time.perf_counter() - due) * 1000)
        free.append(connection)
        if status != 200:
            errors.append(f"status {status}: {body[:200]!r}")

    gc.disable()
    began = time.perf_counter()
    for number in range(round(order["rate"] * order["seconds"])):
        due = began + number / order["rate"]
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(send(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return {
        "sent": number + 1,
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "seconds": time.perf_counter() - began,
        "times": times,
    }


def main() -> None:
    order = json.load(sys.stdin)
    work = one_by_one(order) if "count" in order else at_rate(order)
    print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
