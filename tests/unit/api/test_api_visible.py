"""What a file, an argument or a name holds reaches a terminal as text, whatever it is."""

import json

import pytest
import yaml
from click.testing import CliRunner

from resilientslice.api.problems import format_path, problem, shown
from resilientslice.cli import cli
from resilientslice.text import is_visible

EVIL = "\x1b[2J\x7f\x9b1m\u202e\u2066"
SLICE = """\
apiVersion: resilientslice.dev/v1alpha1
kind: ResilientSlice
metadata: {name: shop}
spec:
  services:
  - {name: api, image: "example.org/api:1", port: 8080, expose: {}, env: [{name: A, value: VALUE}]}
"""


def invoke(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, arguments, input=stdin)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    "document",
    [
        SLICE.replace("port: 8080", f"port: {json.dumps(EVIL)}"),
        SLICE.replace("port: 8080", f"{json.dumps(EVIL)}: 1"),
        SLICE.replace("name: api", f"name: {json.dumps(EVIL)}"),
        SLICE + f"  {json.dumps(EVIL)}: 1\n",
        SLICE + "  \u202e: &x [*y\n",
        SLICE.replace("port: 8080", 'port: "\x1b[2J"'),
        "\u202e\u2066",
        "- &\u202e a\n- *\u2066",
    ],
)
@pytest.mark.parametrize("command", ["validate", "render", "revision"])
def test_a_files_values_are_shown_in_errors(command: str, document: str) -> None:
    code, out, err = invoke(command, "-f", "-", stdin=document)
    assert (code, out) == (2, "")
    assert err
    assert is_visible(err), repr(err)


@pytest.mark.parametrize(
    "arguments",
    [
        (EVIL,),
        ("--" + EVIL,),
        ("validate", "-f", EVIL),
        ("validate", "--" + EVIL),
        ("render", "-f", EVIL),
        ("render", "-f", "-", "--kind", EVIL),
        ("render", "-f", "-", "--namespace", EVIL),
        ("render", "-f", "-", "--kube-version", EVIL),
        ("revision", "-f", EVIL),
        ("run", "-f", EVIL),
        ("run", "-f", "x", "--port", EVIL),
        ("demo", "-f", EVIL),
    ],
)
def test_arguments_are_shown_in_errors(arguments: tuple[str, ...]) -> None:
    code, _, err = invoke(*arguments, stdin=SLICE)
    assert code == 2
    assert is_visible(err), repr(err)


def test_yaml_keeps_its_values_and_shows_them() -> None:
    text = "Grüße \u202e\x85\u2028\n\x1b[2J"
    stdin = SLICE.replace("VALUE", json.dumps(text))
    code, out, _ = invoke("render", "-f", "-", "--kind", "Deployment", "--name", "shop-api-stable", stdin=stdin)
    assert code == 0
    assert is_visible(out)
    variables = yaml.safe_load(out)["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "A", "value": text} in variables
    _, plain, _ = invoke("render", "-f", "-", "--kind", "Deployment", stdin=SLICE.replace("VALUE", "Grüße"))
    assert "Grüße" in plain, "what is visible stays as it is"


def test_a_problem_holds_nothing_hidden() -> None:
    assert is_visible(shown(EVIL))
    assert len(shown(EVIL * 50)) == 60
    assert is_visible(format_path(("spec", EVIL)))
    assert is_visible(str(problem(("a",), {EVIL: [EVIL]}, "rule")))
