"""What Docker's HEALTHCHECK of the operator's image says of each of the programs in it."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from resilientslice.healthcheck import Agent, Operator, Process, main, running, server_of

PYTHON = "/opt/resilientslice/bin/python"


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        ([PYTHON, "/opt/resilientslice/bin/rslice", "operator"], {}, Operator("127.0.0.1", 8080)),
        (["rslice", "operator", "--listen", "10.0.0.1:9000"], {}, Operator("10.0.0.1", 9000)),
        (["rslice", "operator", "--listen=[::]:9001"], {"RSLICE_LISTEN": "0.0.0.0:1"}, Operator("::1", 9001)),
        (["rslice", "operator"], {"RSLICE_LISTEN": "[::1]:9002"}, Operator("::1", 9002)),
        (["rslice", "operator", "--listen"], {}, Operator("127.0.0.1", 8080)),
        ([PYTHON, "-OO", "-m", "resilientslice.agent", "--ready-file=/run/x"], {}, Agent(Path("/run/x"))),
        ([PYTHON, "-m", "resilientslice.agent", "--drain"], {}, None),
        (["rslice", "render", "-f", "operator"], {}, None),
        (["rslice", "--help"], {}, None),
        (["sleep", "60"], {}, None),
        ([""], {}, None),
    ],
)
def test_who_is_asked(arguments, environ, expected):
    assert server_of(Process(arguments, environ)) == expected


def process(folder, pid, arguments):
    (folder / str(pid)).mkdir()
    (folder / str(pid) / "cmdline").write_bytes("\0".join([*arguments, ""]).encode())
    (folder / str(pid) / "environ").write_bytes(b"A=b=c\0odd\0")


def test_an_agent_is_well_while_its_file_exists(tmp_path, capsys):
    ready = tmp_path / "ready"
    processes = tmp_path / "proc"
    processes.mkdir()
    (processes / "self").mkdir()
    (processes / "8").mkdir()  # it ended before it was read
    process(processes, 10, ["sleep", "1"])
    process(processes, 9, ["python", "-m", "resilientslice.agent", f"--ready-file={ready}"])
    assert main(processes) == 1
    assert str(ready) in capsys.readouterr().out
    ready.touch()
    assert main(processes) == 0


def test_without_a_server_there_is_nothing_to_complain_about(tmp_path, capsys):
    process(tmp_path, 1, ["rslice", "--help"])
    assert main(tmp_path) == 0
    assert "no operator" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_an_operator_is_asked(tmp_path, capsys, status, code):
    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(b'{"queue": "stuck for 100 s"}')

        def log_message(self, *_):
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        process(tmp_path, 1, ["rslice", "operator", f"--listen=0.0.0.0:{server.server_port}"])
        assert main(tmp_path) == code
        server.shutdown()
        thread.join()
    assert ("stuck" in capsys.readouterr().out) == bool(code)
    assert main(tmp_path) == 1
    assert "does not answer" in capsys.readouterr().out


def test_it_knows_the_processes_of_this_machine_and_runs_without_a_library():
    assert os.environ["PATH"] in {found.environ.get("PATH") for found in running(Path("/proc"))}
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import resilientslice.healthcheck"],
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "operator")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
