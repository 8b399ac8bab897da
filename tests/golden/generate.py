"""Write what every sample becomes, and what the shop is while a canary of it lives: `python tests/golden/generate.py`.

The files are the output of `rslice render` to the byte. A change of rendering shows in them, for the reviewer to judge.
"""

import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner

from resilientslice.commands.render import command

GOLDEN = Path(__file__).resolve().parent
SAMPLES = GOLDEN.parents[1] / "samples"
NEXT = {
    # what changes in the shop's canary: one image, one edge, one weight
    "image: example.org/shop/payments:1.0.0": "image: example.org/shop/payments:1.1.0\n    dependsOn: [catalog]",
    "    weight: 0": "    weight: 25",
}


def golden_files() -> dict[str, str]:
    """The wanted content of every golden file, by its name."""
    files = {}
    for sample in sorted(SAMPLES.glob("*.yaml")):
        files |= _renders(sample.stem, "-f", str(sample))
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "shop.yaml"
        wanted.write_text(_next_shop(), encoding="utf-8")
        files |= _renders("shop-next", "-f", str(wanted), "--stable", str(SAMPLES / "shop.yaml"))
    return files


def golden_on_disk() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(GOLDEN.glob("*.yaml"))}


def _next_shop() -> str:
    text = (SAMPLES / "shop.yaml").read_text(encoding="utf-8")
    for old, new in NEXT.items():
        if text.count(old) != 1:
            raise SystemExit(f"error: samples/shop.yaml must have {old!r} once: it is edited to make a canary")
        text = text.replace(old, new)
    return text


def _renders(name: str, *arguments: str) -> dict[str, str]:
    return {
        f"{name}.objects.yaml": _rendered(*arguments),
        f"{name}.envoy.yaml": _rendered(*arguments, "--envoy"),
    }


def _rendered(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    if result.exit_code:
        raise SystemExit(f"error: rslice render {' '.join(arguments)}\n{result.stderr}")
    return result.stdout


def main() -> int:
    wanted = golden_files()
    for name in golden_on_disk().keys() - wanted.keys():
        (GOLDEN / name).unlink()
        print(f"removed tests/golden/{name}")
    for name, text in wanted.items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
        print(f"wrote tests/golden/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
