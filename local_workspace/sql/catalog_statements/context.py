"""What a statement about the catalog needs to know: where it was said, by whom, and the parts."""

from __future__ import annotations

from dataclasses import dataclass

from ...engine.catalog import CatalogError
from ...engine.sail import SailEngine
from ...engine.table_info import TableInfo
from ...unity.information_schema import InformationSchema
from ...unity.objects import Objects
from ..sessions import Session, Sessions


@dataclass(frozen=True)
class Context:
    """``catalog`` and ``schema`` are where names of fewer than three parts are looked up."""

    engine: SailEngine
    objects: Objects
    information_schema: InformationSchema
    sessions: Sessions
    catalog: str
    schema: str
    user: str
    session: Session | None = None

    def schema_name(self, parts: list[str]) -> tuple[str, str]:
        """(catalog, schema) that a name of one or two parts means."""
        catalog, schema = [self.catalog, *parts][-2:]
        return catalog.lower(), schema.lower()

    def table_name(self, parts: list[str]) -> tuple[str, str, str]:
        """(catalog, schema, table) that a name of one to three parts means."""
        place = [self.catalog, self.schema][: 3 - len(parts)]
        catalog, schema, table = [*place, *parts]
        return catalog.lower(), schema.lower(), table.lower()

    def table(self, parts: list[str]) -> TableInfo:
        """Facts of a table or view. Raises CatalogError when there is none of this name."""
        key = self.table_name(parts)
        try:
            return self.information_schema.info(*key)
        except CatalogError as error:
            if error.error_class not in ("SCHEMA_NOT_FOUND", "NO_SUCH_CATALOG_EXCEPTION"):
                raise
            # Asked for a table, SQL does not tell a missing schema from a missing table.
            text = f"The table or view `{'`.`'.join(key)}` cannot be found."
            raise CatalogError("TABLE_OR_VIEW_NOT_FOUND", "42P01", text) from error
