"""Opens the ZIPs of a folder and stages their records as Parquet files, in bounded memory.

Used by the batch reader with a ledger and by the staging task in front of Auto Loader.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..contracts import SourceContract, source_contracts
from .fast import BATCH_SCHEMA, TEXT_SCHEMA, Unusual, csv_batches, json_batches
from .lines import MAX_LINE_BYTES, Refused
from .records import Header, Record, csv_records, json_records

STAGED_SCHEMA = pa.schema(
    [
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("source_sha256", pa.string()),
        ("source", pa.string()),
        ("raw", pa.string()),
        ("problem", pa.string()),
        *TEXT_SCHEMA,
    ]
)
_READERS = {
    ".csv": (csv_batches, csv_records),
    ".jsonl": (json_batches, json_records),
    ".ndjson": (json_batches, json_records),
    ".json": (json_batches, json_records),
}
_IGNORED = ("__MACOSX/", ".DS_Store", "Thumbs.db")
_RECORDS_PER_BATCH = 5000
_HELD_BYTES = 32 * 1024 * 1024
_MAX_WORKERS = 4
MAX_MEMBERS = 10_000


@dataclass(frozen=True)
class Archive:
    """A ZIP that was found: path relative to the landing folder, size in bytes, sha256."""

    path: str
    file: Path
    size: int
    sha256: str


@dataclass
class Outcome:
    """What became of one member of a ZIP, or of a ZIP that could not be opened (member '')."""

    archive: Archive
    member: str
    size: int
    source: str | None = None
    reason: str | None = None
    line: int | None = None
    rows: int = 0
    problems: int = 0


@dataclass
class Stage:
    """Writes staged Parquet files into `folder`; a member is kept whole or not at all."""

    folder: Path
    prefix: str = "part"
    files: list[Path] = field(default_factory=list)
    _opened: int = 0
    _held: list[pa.RecordBatch] = field(default_factory=list)
    _held_bytes: int = 0

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Takes all batches of one member; what the iterator raises leaves nothing of it behind."""
        own: list[pa.RecordBatch] = []
        size = 0
        spill: tuple[Path, pq.ParquetWriter] | None = None
        try:
            for batch in batches:
                own.append(batch)
                size += batch.nbytes
                if size > _HELD_BYTES:
                    spill = spill or self._open()
                    spill[1].write_table(pa.Table.from_batches(own, STAGED_SCHEMA))
                    own, size = [], 0
            if spill is not None and own:
                spill[1].write_table(pa.Table.from_batches(own, STAGED_SCHEMA))
        except BaseException:
            if spill is not None:
                spill[1].close()
                spill[0].unlink()
            raise
        if spill is not None:
            spill[1].close()
            self.files.append(spill[0])
            return
        self._held += own
        self._held_bytes += size
        if self._held_bytes > _HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is held; call it once at the end."""
        if self._held:
            path, writer = self._open()
            with writer:
                writer.write_table(pa.Table.from_batches(self._held, STAGED_SCHEMA))
            self.files.append(path)
        self._held, self._held_bytes = [], 0

    def _open(self) -> tuple[Path, pq.ParquetWriter]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.prefix}-{self._opened:05d}.parquet"
        self._opened += 1
        dictionary = ["source_file", "source_sha256", "source", "problem"]
        return path, pq.ParquetWriter(
            path, STAGED_SCHEMA, compression="lz4", use_dictionary=dictionary
        )


def find_archives(folder: Path, known: Iterable[str] = ()) -> tuple[list[Archive], int]:
    """New ZIPs under `folder` by path, and how many were left out because their sha256 is known.

    Of two new files with the same bytes the first path is taken.
    """
    seen = set(known)
    found, skipped = [], 0
    for file in sorted(p for p in folder.rglob("*.zip") if p.is_file()):
        relative = file.relative_to(folder)
        if any(part.startswith((".", "_")) for part in relative.parts):
            continue
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest in seen:
            skipped += 1
            continue
        seen.add(digest)
        found.append(Archive(relative.as_posix(), file, file.stat().st_size, digest))
    return found, skipped


def stage_archives(
    archives: Iterable[Archive],
    folder: Path,
    contracts: Sequence[SourceContract] | None = None,
    limit: int = MAX_LINE_BYTES,
    workers: int | None = None,
) -> list[Outcome]:
    """Stages the records of all members; one outcome for each, loaded or refused, by archive.

    `workers` threads (one a core if None, four at most) share the archives; unpacking and parsing
    run outside Python's lock. Memory grows with the workers, not with the files.
    """
    contracts = source_contracts() if contracts is None else contracts
    archives = list(archives)
    workers = max(1, min(workers or os.cpu_count() or 1, _MAX_WORKERS, len(archives)))

    def work(number: int) -> list[list[Outcome]]:
        stage = Stage(folder, f"part-{number}")
        outcomes = [
            list(_stage_archive(archive, stage, contracts, limit))
            for archive in archives[number::workers]
        ]
        stage.flush()
        return outcomes

    results: list[list[Outcome]] = [[] for _ in archives]
    with ThreadPoolExecutor(workers) as pool:
        for number, outcomes in enumerate(pool.map(work, range(workers))):
            results[number::workers] = outcomes
    return [outcome for outcomes in results for outcome in outcomes]


def _stage_archive(
    archive: Archive, stage: Stage, contracts: Sequence[SourceContract], limit: int
) -> Iterator[Outcome]:
    if archive.size == 0:
        yield Outcome(archive, "", 0, reason="empty file")
        return
    try:
        with zipfile.ZipFile(archive.file) as opened:
            members = [
                info
                for info in opened.infolist()
                if not info.is_dir() and not any(mark in info.filename for mark in _IGNORED)
            ]
            if len(members) > MAX_MEMBERS:
                yield Outcome(archive, "", archive.size, reason=f"more than {MAX_MEMBERS} members")
                return
            for info in members:
                yield _stage_member(archive, opened, info, stage, contracts, limit)
            if not members:
                yield Outcome(archive, "", archive.size, reason="the ZIP holds no file")
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        yield Outcome(archive, "", archive.size, reason=f"unreadable ZIP: {error}")


def _stage_member(archive, opened, info, stage: Stage, contracts, limit: int) -> Outcome:
    outcome = Outcome(archive, info.filename, info.file_size)
    readers = _READERS.get(Path(info.filename).suffix.lower())
    try:
        if readers is None:
            raise Refused(f"unknown file type {Path(info.filename).suffix!r}")
        fast, careful = readers
        try:
            with opened.open(info) as stream:
                _run(outcome, stage, *fast(stream, contracts, limit))
        except Unusual:
            with opened.open(info) as stream:
                header, records = careful(stream, contracts, limit)
                _run(outcome, stage, header, _batched(records))
    except Refused as refusal:
        outcome.reason, outcome.line = refusal.reason, refusal.line
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # RuntimeError is what zipfile raises for a member that needs a password.
        outcome.reason = f"unreadable member: {error}"
    if outcome.reason is not None:
        outcome.rows = outcome.problems = 0
    return outcome


def _run(outcome: Outcome, stage: Stage, header: Header, batches) -> None:
    outcome.source = header.source.name
    outcome.rows = outcome.problems = 0
    constants = {
        "source_file": f"{outcome.archive.path}!{outcome.member}",
        "source_sha256": outcome.archive.sha256,
        "source": header.source.name,
    }

    def staged() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            outcome.rows += len(batch)
            outcome.problems += len(batch) - batch.column("problem").null_count
            columns = [
                pa.repeat(constants[name], len(batch)) if name in constants else batch.column(name)
                for name in STAGED_SCHEMA.names
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=STAGED_SCHEMA)

    stage.add(staged())


def _batched(records: Iterator[Record]) -> Iterator[pa.RecordBatch]:
    while chunk := list(islice(records, _RECORDS_PER_BATCH)):
        # Line, raw text and problem of each, then the texts of the fields.
        columns = zip(*((*record[:3], *record.texts) for record in chunk), strict=True)
        arrays = [pa.array(column, f.type) for column, f in zip(columns, BATCH_SCHEMA, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=BATCH_SCHEMA)


def open_member(path: Path, member: str) -> BinaryIO:
    """The bytes of one member, for a look at what a ledger row speaks of."""
    return zipfile.ZipFile(path).open(member)
