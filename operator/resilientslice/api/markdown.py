"""Tables of the generated pages."""

from collections.abc import Iterable


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table, ending in a newline. Cells are written as they are."""
    first = tuple(header)
    return "".join((_line(first), f"|{'---|' * len(first)}\n", *(_line(row) for row in rows)))


def _line(cells: Iterable[str]) -> str:
    return f"|{''.join(f' {cell} |' if cell else ' |' for cell in cells)}\n"
