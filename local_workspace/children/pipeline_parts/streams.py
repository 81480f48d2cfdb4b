"""Streams of files, read as batches: each update reads the files that came since the last one.

Which files a flow has read is kept with its table (tables.py). A file is read once, by its path,
as Auto Loader does by default. Other streams are refused by name.
"""

from fnmatch import fnmatchcase
from pathlib import Path

from .errors import NotComputed

AUTO_LOADER = "cloudFiles"
FORMATS = ("parquet", "json", "csv", "text", "binaryFile")
_TEXT_SCHEMA = "value string"
_OWN_OPTIONS = ("recursivefilelookup", "pathglobfilter")
# Options of Auto Loader that change when and how files are found, not what is read.
_AUTO_LOADER_OPTIONS = {
    "cloudfiles.format", "cloudfiles.schemalocation", "cloudfiles.includeexistingfiles",
    "cloudfiles.maxfilespertrigger", "cloudfiles.maxbytespertrigger",
    "cloudfiles.usenotifications", "cloudfiles.inferschema", "cloudfiles.backfillinterval",
}  # fmt: skip
_PACE = ("maxfilespertrigger", "maxbytespertrigger", "latestfirst", "maxfileage")


class Source:
    """Files below one folder. ``name`` is the path as the pipeline's code says it."""

    def __init__(self, name, place, format, schema, options, recursive, pattern):
        self.name = name
        # Two readings of one folder may look for different files in it.
        self.listing = (name, pattern, recursive)
        self.format = format
        self.schema = schema
        self._place = place
        self._options = options
        self._recursive = recursive
        self._pattern = pattern

    def new_files(self, taken):
        """Files that are not in ``taken``, as sorted paths relative to the folder.

        Raises FileNotFoundError when the folder does not exist.
        """
        if not self._place.is_dir():
            raise FileNotFoundError(f"The folder {self.name} does not exist.")
        found = self._place.rglob("*") if self._recursive else self._place.iterdir()
        files = []
        for entry in found:
            parts = entry.relative_to(self._place).parts
            hidden = any(part[0] in "._" for part in parts)
            if hidden or not fnmatchcase(entry.name, self._pattern) or not entry.is_file():
                continue
            path = "/".join(parts)
            if path not in taken:
                files.append(path)
        return sorted(files)

    def frame(self, session, files):
        """A batch over some of the folder's files."""
        if not files:
            return session.empty(self.schema)
        with session.pipeline_code(guarded=False):
            reader = session.spark.read.format(self.format).options(**self._options)
            if self.format != "binaryFile":
                reader = reader.schema(self.schema)
            return reader.load([str(self._place / file) for file in files])


class StreamReader:
    """Stands for ``spark.readStream`` in the code of a pipeline."""

    def __init__(self, session):
        self._session = session
        self._format = "parquet"
        self._schema = None
        self._options = {}

    def format(self, source):
        self._format = source
        return self

    def schema(self, schema):
        self._schema = schema
        return self

    def option(self, key, value):
        self._options[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return self

    def options(self, **options):
        for key, value in options.items():
            self.option(key, value)
        return self

    def table(self, name):
        raise NotComputed(f"a stream of the table {name}; streams of files are")

    def load(self, path=None, format=None, schema=None, **options):
        if format is not None:
            self.format(format)
        if schema is not None:
            self.schema(schema)
        self.options(**options)
        return self._session.on_stream(self._source(path))

    def parquet(self, path, **options):
        return self.load(path, "parquet", **options)

    def json(self, path, schema=None, **options):
        return self.load(path, "json", schema, **options)

    def csv(self, path, schema=None, **options):
        return self.load(path, "csv", schema, **options)

    def text(self, path, **options):
        return self.load(path, "text", **options)

    def __getattr__(self, name):
        raise NotComputed(f"spark.readStream.{name}")

    def _source(self, path):
        options = {key.lower(): value for key, value in self._options.items()}
        auto = self._format == AUTO_LOADER
        name = options.get("cloudfiles.format", "") if auto else self._format
        if name not in FORMATS:
            raise NotComputed(f"a stream of format {name or self._format}")
        unknown = {key for key in options if key.startswith("cloudfiles.")} - _AUTO_LOADER_OPTIONS
        if unknown:
            raise NotComputed(f"options of Auto Loader: {', '.join(sorted(unknown))}")
        if not isinstance(path, str):
            raise NotComputed("a stream without one path")
        place = self._session.on_disk(path)
        if any(mark in path for mark in "*?["):
            raise NotComputed(f"a pattern as the path of a stream: {path}; use pathGlobFilter")
        return Source(
            path.rstrip("/"), Path(place), name, self._schema_of(name, path),
            {key: value for key, value in self._options.items() if _is_for_reader(key.lower())},
            auto or options.get("recursivefilelookup") == "true",
            options.get("pathglobfilter", "*"),
        )  # fmt: skip

    def _schema_of(self, format, path):
        if self._schema is not None:
            return self._schema
        if format == "text":
            return _TEXT_SCHEMA
        if format == "binaryFile":
            return "path string, modificationTime timestamp, length bigint, content binary"
        raise NotComputed(f"guessing the schema of a stream ({path}); give it with schema(...)")


def _is_for_reader(option):
    return not option.startswith("cloudfiles.") and option not in (*_OWN_OPTIONS, *_PACE)
