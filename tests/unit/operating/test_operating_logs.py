"""What a line of the log holds, and what it must not."""

import json
import logging

import pytest
import structlog

from resilientslice.operating.logs import about, configure_logs
from resilientslice.text import is_visible


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail(password):
    raise ValueError("it went wrong")


def test_a_traceback_names_the_lines_and_not_the_values(capfd):
    configure_logs("INFO", "json")
    with about(slice="ns/shop"):
        try:
            fail("only-we-know")
        except ValueError:
            logging.getLogger("resilientslice.test").exception("a pass failed")
    line = capfd.readouterr().err
    told = json.loads(line)
    assert told["message"] == "a pass failed"
    assert told["slice"] == "ns/shop"
    [error] = told["exception"]
    assert error["exc_type"] == "ValueError"
    assert error["exc_value"] == "it went wrong"
    assert [frame["name"] for frame in error["frames"]][-1] == "fail"
    assert "only-we-know" not in line


def test_people_read_text(capfd):
    configure_logs("INFO", "text")
    structlog.get_logger("resilientslice.test").info("operator starts", port=8080)
    line = capfd.readouterr().err
    assert "operator starts" in line
    assert "port=8080" in line


@pytest.mark.parametrize("format_", ["text", "json"])
def test_what_others_said_is_shown_and_not_obeyed(capfd, format_):
    configure_logs("INFO", format_)
    structlog.get_logger("resilientslice.test").warning("refused \x1b[2J", reason="\x1b]0;x\x07\u202e\x9b")
    logging.getLogger("library").warning("said %s", "\x1b[2J\u202e")
    assert is_visible(capfd.readouterr().err)
