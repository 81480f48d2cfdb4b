"""Serves one model version to the workspace: ``python model_host.py FD MODEL_URI``.

Runs as a file in the job's environment. FD is one end of a socket pair; each message is a
4-byte length and JSON. The first answer is {"ready": true} or {"error": text}; then each
{"body": request text} is answered with {"status": HTTP status, "body": response text}.
"""

import json
import os
import socket
import struct
import sys
import traceback

import child_guard


def read_message(stream):
    """The next message, or None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    return json.loads(stream.read(struct.unpack(">I", head)[0]))


def write_message(stream, message):
    data = json.dumps(message).encode()
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


def load(model_uri):
    """The model, and MLflow's own request handling for it."""
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    model = mlflow.pyfunc.load_model(model_uri)
    schema = model.metadata.get_input_schema()

    def answer(text):
        from mlflow.exceptions import MlflowException

        try:
            made = scoring_server.invocations(text, "application/json", model, schema)
        except MlflowException as error:
            # The trace belongs in the log of the model, not in the answer to a client.
            print(error.json_kwargs.get("stack_trace") or error.message, file=sys.stderr)
            body = json.dumps({"error_code": error.error_code, "message": str(error.message)})
            return {"status": error.get_http_status_code(), "body": body}
        if made.status != 200:
            made_body = {"error_code": "BAD_REQUEST", "message": made.response}
            return {"status": made.status, "body": json.dumps(made_body)}
        return {"status": 200, "body": made.response}

    return answer


def main():
    child_guard.die_with_parent(int(os.environ.pop("LOCAL_WORKSPACE_PARENT")))
    sys.path.pop(0)  # this file's folder must not shadow modules of the model
    connection = socket.socket(fileno=int(sys.argv[1]))
    stream = connection.makefile("rwb")
    try:
        answer = load(sys.argv[2])
    except Exception as error:
        traceback.print_exc()
        write_message(stream, {"error": f"{type(error).__name__}: {error}"[:2000]})
        sys.exit(1)
    write_message(stream, {"ready": True})
    while (message := read_message(stream)) is not None:
        try:
            reply = answer(message["body"])
        except Exception as error:
            traceback.print_exc()
            text = f"The model failed: {type(error).__name__}"
            body = json.dumps({"error_code": "INTERNAL_ERROR", "message": text})
            reply = {"status": 500, "body": body}
        write_message(stream, reply)


if __name__ == "__main__":
    main()
