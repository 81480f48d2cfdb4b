"""MLflow's REST for the workspace: ``mlflow_host.py serve FD`` or ``mlflow_host.py prepare FILE``.

Runs as a file in the job's environment; the environment names MLflow's stores. ``serve`` answers
on the listening socket FD, and only requests that carry the secret that comes as the first line
of stdin. ``prepare`` makes the database FILE with all its tables and ends.
"""

import fcntl
import hmac
import os
import socket
import socketserver
import sys
import traceback
import wsgiref.simple_server

import child_guard

SECRET = "HTTP_X_LOCAL_WORKSPACE_SECRET"


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = 120

    def log_message(self, *_):
        return  # the workspace has logged the request

    def address_string(self):
        return self.client_address[0]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True

    def __init__(self, listener, app):
        address = listener.getsockname()
        super().__init__(address, Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = address
        self.server_name, self.server_port = address
        self.setup_environ()
        self.set_app(app)


def guarded(app, secret):
    """The application behind the secret: other programs on this machine get nothing."""

    def answer(environ, start_response):
        given = environ.pop(SECRET, "")
        if not hmac.compare_digest(given.encode("latin-1"), secret):
            start_response("403 Forbidden", [("content-type", "text/plain")])
            return [b"forbidden"]
        environ["wsgi.multithread"] = True
        return app(environ, start_response)

    return answer


def prepare(path):
    """Make the database beside its place first: one that was begun and not finished is no use.

    A lock file keeps a second process from making it too.
    """
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            return
        import sqlalchemy
        from mlflow.store.db.utils import _initialize_tables

        fresh = f"{path}.new-{os.getpid()}"
        engine = sqlalchemy.create_engine(f"sqlite:///{fresh}")
        _initialize_tables(engine)
        engine.dispose()
        try:
            os.link(fresh, path)
        except FileExistsError:
            print("a job has made the database meanwhile", file=sys.stderr)
        os.unlink(fresh)


def explained(error):
    """The answer to a call on which MLflow fails without an error of its own.

    MLflow goes on with values whose types do not fit and stumbles over them later. What such
    values raise is the caller's fault; the trace is in the log in any case.
    """
    from sqlalchemy.exc import StatementError
    from werkzeug.exceptions import HTTPException

    if isinstance(error, HTTPException):
        return error
    traceback.print_exception(error, file=sys.stderr)
    misfit = isinstance(error, (TypeError, ValueError, KeyError, AttributeError, StatementError))
    code, status = ("INVALID_PARAMETER_VALUE", 400) if misfit else ("INTERNAL_ERROR", 500)
    return {"error_code": code, "message": f"MLflow failed: {type(error).__name__}"}, status


def serve(descriptor, secret):
    listener = socket.socket(fileno=descriptor)
    store = os.environ["_MLFLOW_SERVER_FILE_STORE"]
    prepare(store.removeprefix("sqlite:///"))
    import mlflow.server
    from mlflow.server.handlers import initialize_backend_stores

    mlflow.server.app.register_error_handler(Exception, explained)
    initialize_backend_stores(store, None, os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"])
    Server(listener, guarded(mlflow.server.app, secret)).serve_forever()


def main():
    child_guard.die_with_parent(int(os.environ.pop("LOCAL_WORKSPACE_PARENT")))
    sys.path.pop(0)  # this file's folder must not shadow modules of MLflow
    if sys.argv[1] == "prepare":
        os.nice(19)
        prepare(sys.argv[2])
        return
    secret = sys.stdin.buffer.readline().strip()
    serve(int(sys.argv[2]), secret)


if __name__ == "__main__":
    main()
