"""A pipe that nobody reads ends a command quietly, and a connection that is closed ends nothing."""

import os
import subprocess
import sys

MAIN = "from resilientslice.cli import main; main()"


def test_output_that_nobody_reads_ends_a_command_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "crd"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


def test_a_closed_connection_does_not_end_the_program():
    """The default of SIGPIPE would: an operator writes to connections whose peer may be gone."""
    program = (
        "import signal; from resilientslice.cli import main\n"
        "try: main(['--version'])\n"
        "finally: print(signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "True"
    assert done.returncode == 0
