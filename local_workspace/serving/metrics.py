"""What an endpoint did in the last minute, as Prometheus text under Databricks' names.

As on Databricks the counts are gauges over the last minute, in spite of their names.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter

import psutil

BUCKETS_MS = (
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 600000,
)  # fmt: skip
WINDOW_SECONDS = 60
SLOT_SECONDS = 2


class LastMinute:
    """Counts of answers, in slots that are forgotten when they are a minute old."""

    def __init__(self) -> None:
        self._slots: dict[int, Counter[tuple[str, int, int]]] = {}
        self._sums: dict[int, Counter[str]] = {}
        self._cpu: dict[int, tuple[float, float]] = {}

    def note(self, entity: str, status: int, milliseconds: float) -> None:
        """Count one answer; ``entity`` is '' when none was chosen."""
        slot = int(time.monotonic() / SLOT_SECONDS)
        if slot not in self._slots:
            self._forget(slot)
            self._slots[slot], self._sums[slot] = Counter(), Counter()
        self._slots[slot][entity, status, bisect_left(BUCKETS_MS, milliseconds)] += 1
        self._sums[slot][entity] += milliseconds

    def text(self, endpoint: str, pids: dict[str, int | None], memory_limit: int) -> str:
        """The metrics of all entities; ``pids`` are the processes of their models."""
        self._forget(int(time.monotonic() / SLOT_SECONDS))
        counts: Counter[tuple[str, int, int]] = Counter()
        sums: Counter[str] = Counter()
        for slot, slot_counts in self._slots.items():
            counts.update(slot_counts)
            sums.update(self._sums[slot])
        lines = []
        for name, low, high in (
            ("request_count_total", 0, 600),
            ("request_4xx_count_total", 400, 500),
            ("request_5xx_count_total", 500, 600),
        ):
            lines.append(f"# TYPE {name} gauge")
            for entity in pids:
                value = sum(
                    number
                    for (found, status, _), number in counts.items()
                    if found == entity and low <= status < high
                )
                lines.append(f"{name}{_labels(endpoint, entity)} {value}")
        lines.append("# TYPE request_latency_ms histogram")
        for entity in pids:
            lines += _histogram(endpoint, entity, counts, sums[entity])
        usage = {entity: self._usage(pid) for entity, pid in pids.items()}
        self._cpu = {pid: seen for pid, seen in self._cpu.items() if pid in pids.values()}
        for at, name in enumerate(("cpu_usage_percentage", "mem_usage_percentage")):
            lines.append(f"# TYPE {name} gauge")
            for entity, (cpu, memory) in usage.items():
                value = (cpu, 100 * memory / memory_limit)[at]
                lines.append(f"{name}{_labels(endpoint, entity)} {value:.3f}")
        return "\n".join(lines) + "\n"

    def _forget(self, slot: int) -> None:
        oldest = slot - WINDOW_SECONDS // SLOT_SECONDS
        for old in [known for known in self._slots if known <= oldest]:
            del self._slots[old], self._sums[old]

    def _usage(self, pid: int | None) -> tuple[float, float]:
        """(percent of one core since the last look, resident bytes) of a process."""
        if pid is None:
            return 0.0, 0
        try:
            process = psutil.Process(pid)
            times = process.cpu_times()
            used, now = times.user + times.system, time.time()
            used_before, before = self._cpu.get(pid, (0.0, process.create_time()))
            self._cpu[pid] = used, now
            return 100 * (used - used_before) / max(now - before, 0.001), process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0.0, 0


def _labels(endpoint: str, entity: str, more: str = "") -> str:
    # The names hold nothing that would need an escape.
    return f'{{endpoint_name="{endpoint}",served_entity_name="{entity}"{more}}}'


def _histogram(endpoint: str, entity: str, counts: Counter, total: float) -> list[str]:
    by_bucket: Counter[int] = Counter()
    for (found, _, bucket), number in counts.items():
        if found == entity:
            by_bucket[bucket] += number
    lines, so_far = [], 0
    for at, upto in enumerate((*map(str, BUCKETS_MS), "+Inf")):
        so_far += by_bucket[at]
        labels = _labels(endpoint, entity, f',le="{upto}"')
        lines.append(f"request_latency_ms_bucket{labels} {so_far}")
    lines.append(f"request_latency_ms_sum{_labels(endpoint, entity)} {total:.3f}")
    lines.append(f"request_latency_ms_count{_labels(endpoint, entity)} {so_far}")
    return lines
