"""The way of a statement: about the catalog and answered here, or to be run by the engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..access.principals import OWNER
from ..engine.catalog import CatalogError
from ..engine.interface import Operation, Parameter
from ..engine.sail import SailEngine
from ..engine.sail_errors import engine_error
from ..engine.sql_text import SqlTextError, Statement
from ..unity.information_schema import InformationSchema
from ..unity.objects import Objects, require_writable
from .answers import Answer, Compute
from .catalog_statements import definitions, describe, maintenance, session, show
from .catalog_statements.context import Context
from .row_counts import counted
from .session_settings import time_zone
from .sessions import Session, Sessions
from .words import Words

# What is answered here, by the first word. None as the answer leaves a statement to the engine.
_HERE: dict[str, Callable[[Words, Context], Compute | None]] = {
    "ALTER": maintenance.alter,
    "CREATE": definitions.create,
    "DESC": describe.prepare,
    "DESCRIBE": describe.prepare,
    "DROP": definitions.drop,
    "OPTIMIZE": maintenance.optimize,
    "RESET": session.reset,
    "RESTORE": maintenance.restore,
    "SET": session.set_,
    "SHOW": show.prepare,
    "TRUNCATE": maintenance.truncate,
    "USE": session.use,
    "VACUUM": maintenance.vacuum,
}


class SqlFront:
    """What the REST and Thrift layers call."""

    def __init__(
        self,
        engine: SailEngine,
        objects: Objects,
        information_schema: InformationSchema,
        sessions: Sessions,
        before: Callable[[Statement, tuple[str, str]], None],
    ) -> None:
        """``before`` sees each statement first, with the (catalog, schema) it starts from."""
        self._engine = engine
        self._parts = (engine, objects, information_schema, sessions)
        self._before = before

    def statement(
        self,
        sql: str,
        parameters: list[Parameter],
        catalog: str | None = None,
        schema: str | None = None,
        row_limit: int | None = None,
        session: Session | None = None,
    ) -> Operation:
        """Prepare any statement. Raises EngineError when it is refused before it runs.

        What the session says holds where ``catalog`` and ``schema`` are not given.
        """
        if session is not None:
            catalog, schema = catalog or session.catalog, schema or session.schema
        zone = time_zone(session.confs if session else {})
        place = ((catalog or self._engine.catalog.default).lower(), (schema or "default").lower())
        run = partial(self._engine.statement, sql, parameters, *place, row_limit, zone)
        try:
            parsed = Statement(sql)
        except SqlTextError:
            return run()
        self._before(parsed, place)
        user = session.user if session else OWNER.user_name
        context = Context(*self._parts, *place, user, session)
        try:
            answer = _HERE.get(parsed.verb)
            compute = answer(Words(parsed), context) if answer else None
            if compute is not None:
                return Answer(compute)
            return counted(run(), parsed, partial(_changed, context))
        except CatalogError as error:
            raise engine_error(error) from error


def _zone(session: Session | None) -> str:
    return time_zone(session.confs if session else {})


def _changed(context: Context, parts: list[str]) -> Path | None:
    """The folder of the table that a statement changes, if there is one. Raises CatalogError."""
    key = context.table_name(parts)
    require_writable(*key[:2])
    catalog = context.engine.catalog
    return catalog.root.joinpath(*key) if catalog.has_table(*key) else None
