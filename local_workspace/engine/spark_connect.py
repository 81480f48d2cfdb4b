"""A thin Spark Connect client: a session on a channel of its own, plans out, Arrow bytes in.

pyspark's own client asks the engine several questions around each statement, and decodes and
checks every batch; a statement of one row would take several times as long. Nothing here
decodes a result: what arrives is an Arrow IPC stream for each batch.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import grpc
import pyarrow as pa
from pyspark.sql.connect.proto import base_pb2 as pb
from pyspark.sql.connect.proto import base_pb2_grpc, expressions_pb2

from .interface import Encoded

USER = "workspace"
# Without a pool of its own, a channel shares the back-off that earlier channels to the same port
# fell into when the engine died, and fails although the engine is up again.
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]

# What the wire can say; no result has as many rows.
MOST_ROWS = 2**31 - 1

Literals = dict[str, expressions_pb2.Expression] | list[expressions_pb2.Expression]


def sql_plan(text: str, arguments: Literals, limit: int | None = None) -> pb.Plan:
    """The plan of a statement with named (dict) or positional (list) values, cut after ``limit``
    rows."""
    plan = pb.Plan()
    relation = plan.root
    if limit is not None:
        relation.limit.limit = min(limit, MOST_ROWS)
        relation = relation.limit.input
    relation.sql.query = text
    if isinstance(arguments, dict):
        for name, value in arguments.items():
            relation.sql.named_arguments[name].CopyFrom(value)
    else:
        relation.sql.pos_arguments.extend(arguments)
    return plan


class Rows:
    """The answer to one plan: its Spark schema, then its batches. ``cancel`` ends it at once."""

    def __init__(self, call) -> None:
        self._call = call
        self._first: list[Encoded] = []
        self.schema = None
        for answer in call:
            if answer.HasField("schema"):
                self.schema = answer.schema
            if answer.HasField("arrow_batch"):
                self._first.append(_encoded(answer))
                break

    def __iter__(self) -> Iterator[Encoded]:
        yield from self._first
        for answer in self._call:
            if answer.HasField("arrow_batch"):
                yield _encoded(answer)

    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of the batches; the engine sends at least one, if only an empty one."""
        return pa.ipc.open_stream(self._first[0].stream).schema


def _encoded(answer: pb.ExecutePlanResponse) -> Encoded:
    return Encoded(answer.arrow_batch.row_count, answer.arrow_batch.data)


class ConnectSession:
    """One session of the engine. Every call raises grpc.RpcError when the engine refuses."""

    def __init__(self, port: int) -> None:
        self._id = str(uuid.uuid4())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", _OPTIONS)
        self._stub = base_pb2_grpc.SparkConnectServiceStub(self._channel)
        self._lock = threading.Lock()
        self._call = None
        self._interrupted = False

    def execute(self, plan: pb.Plan) -> Rows:
        """Run a plan; returns when its first batch is there."""
        request = pb.ExecutePlanRequest(session_id=self._id, plan=plan)
        request.user_context.user_id = USER
        with self._lock:
            call = self._call = self._stub.ExecutePlan(request)
            if self._interrupted:
                call.cancel()
        return Rows(call)

    def run(self, plan: pb.Plan) -> None:
        """Run a plan whose rows nobody wants."""
        for _ in self.execute(plan):
            continue

    def sql(self, text: str) -> None:
        self.run(sql_plan(text, []))

    def configure(self, settings: dict[str, str]) -> None:
        request = pb.ConfigRequest(session_id=self._id)
        request.user_context.user_id = USER
        pairs = request.operation.set.pairs
        for key, value in settings.items():
            pairs.add(key=key, value=value)
        self._stub.Config(request)

    def use(self, catalog: str, database: str) -> None:
        plan = pb.Plan()
        plan.root.catalog.set_current_catalog.catalog_name = catalog
        self.run(plan)
        plan = pb.Plan()
        plan.root.catalog.set_current_database.db_name = database
        self.run(plan)

    def show(self, name: str, rows: pa.Table) -> None:
        """Let a temporary view of this name have these rows."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        plan = pb.Plan()
        view = plan.command.create_dataframe_view
        view.name, view.replace = name, True
        view.input.local_relation.data = sink.getvalue().to_pybytes()
        self.run(plan)

    def interrupt(self) -> None:
        """End what runs, now and from now on; from any thread. The call ends here at once."""
        with self._lock:
            self._interrupted = True
        self.drop_call()

    def drop_call(self) -> None:
        """End the call under way: the engine is told, and this side does not wait for it."""
        request = pb.InterruptRequest(session_id=self._id)
        request.user_context.user_id = USER
        request.interrupt_type = pb.InterruptRequest.INTERRUPT_TYPE_ALL
        try:
            self._stub.Interrupt(request, timeout=2)
        finally:
            with self._lock:
                if self._call is not None:
                    self._call.cancel()

    def release(self) -> None:
        """Let the engine forget the session and all that it holds."""
        request = pb.ReleaseSessionRequest(session_id=self._id)
        request.user_context.user_id = USER
        self._stub.ReleaseSession(request, timeout=5)

    def close(self) -> None:
        self._channel.close()
