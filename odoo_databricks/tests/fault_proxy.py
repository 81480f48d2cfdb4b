"""Stands between Odoo and a real workspace, and spoils what it is told to spoil."""

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class FaultProxy:
    """Passes calls on to `target`. While `spoil` is set, a call whose path begins with `path` gets

    `spoil(handler, status, headers, body)` instead of the workspace's answer; it writes the answer
    itself. `released` is set when the proxy ends, so that an answer which hangs can stop waiting.
    """

    def __init__(self, target):
        self.target = urlsplit(target)
        self.path, self.spoil = "", None
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = proxy._ask(self.command, self.path, self.headers, body)
                if proxy.spoil and self.path.startswith(proxy.path):
                    self.close_connection = True
                    proxy.spoil(self, *answer)
                else:
                    self.give(*answer)

            do_GET = do_POST = do_PUT = do_DELETE = _pass

            def give(self, status, headers, body, length=None):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                """The test run's output is no access log."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def _ask(self, verb, path, headers, body):
        connection = http.client.HTTPConnection(self.target.hostname, self.target.port, timeout=60)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() != "connection"}
            connection.request(verb, path, body, kept)
            answer = connection.getresponse()
            named = [pair for pair in answer.getheaders() if pair[0].lower() not in HOP_BY_HOP]
            # links to results lead through the proxy, too
            here = answer.read().replace(self.target.geturl().encode(), self.url.encode())
            return answer.status, named, here
        finally:
            connection.close()

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join(5)
