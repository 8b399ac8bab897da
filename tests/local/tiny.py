"""A service for tests of the local runtime, of the standard library alone because it starts in a moment.

Answers every path with what it is and what its files hold, as JSON. `python tiny.py VERSION`; asked to end, it finishes
what it has begun.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        urls = (name for name in os.environ if name.endswith("_URL"))
        names = ("POD_NAME", "RSLICE_TRACK", "GREETING", "TOKEN", "TMPDIR", *urls)
        said = {"version": VERSION, **{name: os.environ.get(name, "") for name in names}}
        files = {name: Path(path) for name, path in os.environ.items() if name.startswith("FILE_")}
        said |= {name: path.read_text() if path.exists() else f"no {path}" for name, path in files.items()}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that the base class looks for

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


with Server((os.environ["HOST"], int(os.environ["PORT"])), Handler) as server:
    ending = threading.Timer(float(os.environ.get("DRAIN_SECONDS", "0")), server.shutdown)
    signal.signal(signal.SIGTERM, lambda *_: ending.start())
    server.serve_forever(poll_interval=0.02)
