"""Wiring: which part knows which, and which router answers what."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from . import (
    __version__,
    faults,
    files,
    identity,
    job_runs,
    jobs,
    serving,
    statements,
    warehouses,
)
from .endpoints import Endpoints
from .engine import EngineError
from .errors import install_handlers
from .faults import Faults
from .files import Volumes
from .identity import Identity
from .jobs import Jobs
from .links import LinkSigner
from .middleware import Gate
from .run_store import RunStore
from .runner import Runner
from .sail import SailEngine
from .settings import CATALOG, Settings
from .sql_commands import SqlFront
from .statement_runs import Statements
from .store import Store
from .warehouses import Warehouses

log = logging.getLogger("local_workspace")


class Services:
    """The parts of one running workspace, made in the order in which they need each other."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.started = time.monotonic()
        settings.make_folders()
        self.store = Store(settings.database)
        self.org_id = self.store.meta("org_id")
        self.links = LinkSigner(self.store.meta("link_secret"))
        self.identity = Identity(self.store)
        self.faults = Faults()
        self.volumes = Volumes(settings.volumes, settings.spool, settings.max_body)
        self.engine = SailEngine(settings.tables, CATALOG, settings.logs / "engine.log")
        self.warehouses = Warehouses(self.store)
        front = SqlFront(self.engine, self.engine.catalog)
        self.statements = Statements(front, self.warehouses, settings.spool)
        self.jobs = Jobs(self.store)
        self.run_store = RunStore(self.store)
        self.runner = Runner(self)
        self.endpoints = Endpoints(self)

    def start(self) -> None:
        """Wait for the engine, then take up what an earlier process left behind."""
        self.engine.process.wait_up()
        self.runner.recover()
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def _warm_up(self) -> None:
        """Pay for the client's imports before the first statement of a user does (1.5 s)."""
        operation = self.engine.statement("SELECT 1", [])
        try:
            for _ in operation.run().batches:
                continue
        except EngineError as error:
            log.warning("the engine did not answer its first statement: %s", error.message)
        finally:
            operation.close()

    def stop(self) -> None:
        self.statements.close()
        self.runner.stop()
        self.engine.stop()


def create_app(services: Services) -> FastAPI:
    """The ASGI application of a workspace. Its event loop owns the model processes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await services.endpoints.recover()
        yield
        await services.endpoints.stop()

    app = FastAPI(
        title="Local workspace", version=__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url="/_local/openapi.json",
    )  # fmt: skip
    app.state.services = services
    install_handlers(app)
    for part in (identity, faults, warehouses, statements, files, jobs, job_runs,
                 serving):  # fmt: skip
        app.include_router(part.router)

    @app.get("/_local/health")
    def health(request: Request) -> dict:
        return {
            "status": "ok",
            "version": __version__,
            "engine": "up" if services.engine.process.pid else "down",
            "uptime_seconds": round(time.monotonic() - services.started, 1),
        }

    app.add_middleware(Gate, services=services)
    return app
