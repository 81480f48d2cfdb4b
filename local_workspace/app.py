"""The ASGI application: every router of ``api/`` behind one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from . import __version__
from .capabilities import routers
from .errors import install_handlers
from .middleware import Gate
from .services import Services


def create_app(services: Services) -> FastAPI:
    """The application of a workspace. Its event loop owns the model processes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await services.mlflow.start()
        await services.endpoints.recover()
        yield
        await services.endpoints.stop()
        await services.mlflow.stop()

    app = FastAPI(
        title="Local workspace", version=__version__, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url="/_local/openapi.json",
    )  # fmt: skip
    app.state.services = services
    install_handlers(app)
    # A module in api/ is found by being there; the first route that fits a path answers it.
    # The routes are put into one list: an included router costs each call 0.5 ms of searching.
    for _, _, router in routers():
        app.router.routes += router.routes
    app.add_middleware(Gate, services=services)
    return app
