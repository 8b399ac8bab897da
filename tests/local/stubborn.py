"""A service that is ready and ignores every request to end, and so do four processes that it starts: in its group, in a
group of its own without its environment, in a session of its own, and one whose parent is gone."""

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SLEEPS = f"import time\nfor _ in range(3000): time.sleep(0.1)  # {__file__}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


for number in IGNORED:
    signal.signal(number, signal.SIG_IGN)
family = [
    subprocess.Popen([sys.executable, "-c", SLEEPS]),
    subprocess.Popen([sys.executable, "-c", SLEEPS], process_group=0, env={}),
    subprocess.Popen([sys.executable, "-c", SLEEPS], start_new_session=True),
]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
os.wait()
HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
