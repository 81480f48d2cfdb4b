"""Serves one model version to the workspace: ``python model_host.py FD LOG LOCATION URI``.

Runs as a file in the job's environment. FD is one end of a socket pair, LOG the file for what the
model prints while it serves (what it prints while it loads goes to the output given at the start),
LOCATION the model's artifacts; URI is shown by ``ps``. The environment variable
LOCAL_WORKSPACE_MODEL_MEMORY is the limit of private memory in bytes.

A request is a 4-byte length and the body as the client sent it. An answer is HTTP status (2 bytes),
1 when the process should be replaced (1 byte), milliseconds spent on it (8 bytes, float), length
(4 bytes) and the body. The first answer comes without a request: 200 when the model is loaded, 500
with the reason as plain text when it cannot be.
"""

import gc
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
import time
import traceback

import child_guard

REQUEST = struct.Struct(">I")
ANSWER = struct.Struct(">HBdI")
MAX_ANSWER = 64 * 1024 * 1024
# What belongs to the service in a request body, not to the model.
SERVICE_FIELDS = ("client_request_id", "usage_context")


class Host:
    """One loaded model and MLflow's own request handling for it."""

    def __init__(self, location, memory):
        import mlflow
        import mlflow.pyfunc
        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc import scoring_server

        print(f"mlflow {mlflow.__version__}, python {sys.version.split()[0]}", flush=True)
        self._model = mlflow.pyfunc.load_model(location)
        self._schema = self._model.metadata.get_input_schema()
        self._invocations = scoring_server.invocations
        self._mlflow_error = MlflowException
        self._memory = memory

    def answer(self, body):
        """(HTTP status, whether to replace the process, response bytes) for a request body."""
        try:
            made = self._invocations(_model_input(body), "application/json", self._model,
                                     self._schema)  # fmt: skip
        except self._mlflow_error as error:
            # MLflow wraps whatever the model raised; the cause hangs on it.
            if isinstance(error.__context__, MemoryError):
                return self._out_of_memory()
            # The trace belongs in the log of the model, not in the answer to a client.
            print(error.json_kwargs.get("stack_trace") or error.message, file=sys.stderr)
            return error.get_http_status_code(), False, _error(error.error_code, str(error.message))
        except MemoryError:
            return self._out_of_memory()
        except Exception as error:
            # Not the model's own, which are wrapped: the body or the prediction is a strange one.
            traceback.print_exc()
            return _strange(error)
        if made.status != 200:
            return made.status, False, _error("BAD_REQUEST", made.response)
        response = made.response.encode()
        if len(response) > MAX_ANSWER:
            text = f"The answer of the model is larger than {MAX_ANSWER >> 20} MiB."
            return 500, False, _error("INTERNAL_ERROR", text)
        return 200, False, response

    def _out_of_memory(self):
        traceback.print_exc()
        gc.collect()
        # What the model still holds decides whether it can go on.
        replace = _private_memory() > 0.8 * self._memory
        return 500, replace, _error("RESOURCE_EXHAUSTED", _memory_text("answer", self._memory))


def _model_input(body):
    """The request without what belongs to the service; text that is no object goes on as it is.

    MLflow's own answer says what is wrong with it.
    """
    try:
        given = json.loads(body)
    except ValueError:
        return body
    if not isinstance(given, dict):
        return body
    for name in SERVICE_FIELDS:
        given.pop(name, None)
    return given


def _strange(error):
    """The answer when MLflow could make no input of a body, or no JSON of a prediction."""
    frames = traceback.extract_tb(error.__traceback__)
    if any(frame.name == "predictions_to_json" for frame in frames):
        text = f"The prediction cannot be written as JSON: {type(error).__name__}"
        return 500, False, _error("INTERNAL_ERROR", text)
    reason = f"The body cannot be read: {type(error).__name__}: {error}"
    return 400, False, _error("BAD_REQUEST", reason[:500])


def _memory_text(doing, memory):
    return f"The model needs more than its limit of {memory >> 20} MiB of memory to {doing}."


def _private_memory():
    """Bytes that count against the limit."""
    with open("/proc/self/status", encoding="ascii") as status:
        return int(re.search(r"VmData:\s+(\d+)", status.read())[1]) * 1024


def _error(code, message):
    return json.dumps({"error_code": code, "message": message}).encode()


def _send(stream, status, replace, milliseconds, body):
    stream.write(ANSWER.pack(status, replace, milliseconds, len(body)))
    stream.write(body)
    stream.flush()


def _load(stream, location, memory):
    """The host of the model; ends the process when the model cannot be loaded."""
    started = time.monotonic()
    try:
        host = Host(location, memory)
    except MemoryError:
        traceback.print_exc()
        text = _memory_text("be loaded", memory)
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}"[:2000]
    else:
        print(f"loaded in {time.monotonic() - started:.1f} s", flush=True)
        return host
    _send(stream, 500, False, 0.0, text.encode())
    sys.exit(1)


def _print_to(path):
    """From here on, whatever this process prints goes to another file."""
    target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)


def main():
    child_guard.die_with_parent(int(os.environ.pop("LOCAL_WORKSPACE_PARENT")), signal.SIGKILL)
    memory = int(os.environ.pop("LOCAL_WORKSPACE_MODEL_MEMORY"))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    sys.path.pop(0)  # this file's folder must not shadow modules of the model
    connection = socket.socket(fileno=int(sys.argv[1]))
    stream = connection.makefile("rwb")
    host = _load(stream, sys.argv[3], memory)
    _print_to(sys.argv[2])
    # Modules and model stay: the collector need not look at them during requests.
    gc.collect()
    gc.freeze()
    _send(stream, 200, False, 0.0, b"")
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        body = stream.read(REQUEST.unpack(head)[0])
        began = time.perf_counter()
        status, replace, response = host.answer(body)
        _send(stream, status, replace, (time.perf_counter() - began) * 1000, response)


if __name__ == "__main__":
    main()
