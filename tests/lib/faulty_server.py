"""A tiny HTTP server for the faults that a healthy workspace does not have."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer:
    """Answers from `routes`: (verb, path) -> function(request) -> (status, headers, body).

    A body is a dict (sent as JSON), str or bytes; a function may also write to the socket itself
    and return None. Every request is kept in `seen`.
    """

    def __init__(self):
        self.routes = {("GET", "/.well-known/databricks-config"): lambda request: (404, {}, "")}
        self.seen = []
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                path = self.path.partition("?")[0]
                server.seen.append((self.command, self.path, dict(self.headers), self.body))
                route = server.routes.get((self.command, path))
                answer = route(self) if route else (404, {}, {"message": f"no {path}"})
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                if isinstance(body, dict):
                    body, headers = json.dumps(body), {"Content-Type": "application/json"} | headers
                if isinstance(body, str):
                    body = body.encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, *args):
                """The test run's output is no access log."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def on(self, verb, path, status=200, body="", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.routes[verb, path] = lambda request: (status, named, body)

    def count(self, verb, path):
        return sum(1 for seen in self.seen if seen[0] == verb and seen[1].partition("?")[0] == path)

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()  # lets hanging answers go
            self._http.shutdown()
            self._http.server_close()
            thread.join(5)
