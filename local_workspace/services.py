"""The parts of one running workspace, and which part knows which."""

from __future__ import annotations

import logging
import threading
import time

from .access.links import LinkSigner
from .access.tokens import Identity
from .engine.interface import EngineError
from .engine.sail import SailEngine
from .engine.sql_text import Statement
from .faults import Faults
from .metering.meter import Meter
from .metering.place import Place
from .metering.statement_hook import SystemHook
from .metering.system_tables import SystemTables
from .mlflow_server.artifacts import ArtifactFiles, FileTree
from .mlflow_server.names import ArtifactNames
from .mlflow_server.process import MlflowServer
from .mlflow_server.registry import ModelRegistry
from .mlflow_server.relocate import follow_folder
from .pages.sessions import BrowserSessions
from .pipelines.updates import Pipelines
from .runs.definitions import Jobs
from .runs.run_store import RunStore
from .runs.run_views import RunViews
from .runs.runner import Runner
from .serving.endpoints import Endpoints
from .serving.journal import Journal
from .settings import CATALOG, Settings
from .sql.clusters import Clusters
from .sql.front import SqlFront
from .sql.sessions import Sessions
from .sql.statement_answers import StatementAnswers
from .sql.statement_runs import Statements
from .sql.thrift.handler import Handler as ThriftHandler
from .sql.warehouses import Warehouses
from .storage.uploads import Uploads
from .storage.workspace_files import WorkspaceFiles
from .store import Store
from .traffic import Recorder
from .unity.information_schema import InformationSchema
from .unity.objects import Objects

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
        self.browser_sessions = BrowserSessions(self.store, self.identity, self.links)
        self.faults = Faults()
        self.recorder = Recorder(settings.record)
        self.meter = Meter(self.store)
        uploads = Uploads(settings.spool / "uploads", settings.max_body)
        follow_folder(settings, self.store)
        self.registry = ModelRegistry(settings)
        self.mlflow = MlflowServer(settings)
        self.artifact_names = ArtifactNames(settings.artifacts)
        self.artifacts = ArtifactFiles(settings.artifacts, uploads)
        self.volumes = FileTree(settings.volumes, uploads, settings.artifacts, self.registry)
        self.workspace_files = WorkspaceFiles(settings.workspace_files, uploads)
        self.engine = SailEngine(settings.tables, CATALOG, settings.logs / "engine.log")
        self.objects = Objects(self.store, self.engine.catalog, settings.volumes)
        self.information_schema = InformationSchema(
            self.engine.catalog, self.engine.tables, self.objects
        )
        self.engine.views = self.information_schema.views
        self.warehouses = Warehouses(self.store)
        self.sessions = Sessions(self.store, self.warehouses, self.engine.catalog)
        place = Place(self.org_id, self.meter.rates)
        self.system_tables = SystemTables(self.store, settings.tables, place)
        self.journal = Journal(
            settings.data / "serving", self.store, self.meter, self.engine.catalog
        )
        hook = SystemHook(self.system_tables)

        def before(statement: Statement, place: tuple[str, str]) -> None:
            self.journal.settle(statement, place)  # invocations are usage before usage is a table
            hook(statement, place)

        front = SqlFront(self.engine, self.objects, self.information_schema, self.sessions, before)
        self.statements = Statements(
            front, self.warehouses, self.sessions, self.meter, self.store, settings.spool
        )
        self.statement_answers = StatementAnswers(self.links, settings)
        self.clusters = Clusters(self.store, self.warehouses.start_seconds)
        self.thrift = ThriftHandler(self)
        self.jobs = Jobs(self.store)
        self.run_store = RunStore(self.store)
        self.run_views = RunViews(self.run_store, self.links, settings.host)
        self.runner = Runner(self)
        self.pipelines = Pipelines(self)
        self.endpoints = Endpoints(self)

    def start(self) -> None:
        """Wait for the engine, then take up what an earlier process left behind."""
        self.identity.end_task_tokens()
        self.engine.process.wait_up()
        self.pipelines.recover()
        self.runner.recover()  # its tasks may start updates
        self.system_tables.start()
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
        self.pipelines.close()
        self.system_tables.stop()
        self.engine.stop()
        self.recorder.save()
