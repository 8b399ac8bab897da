"""What a caller of the local runtime decides; everything else comes from the resource."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`file` is the resource. What is None is found beside it: `shop.procfile`, `shop.env`, `.rslice/shop/`.

    `port` is the front's port on 127.0.0.1; 0 takes a free one. `watch` follows edits of the three files; without it
    the caller says `LocalRuntime.reload()`.
    """

    file: Path
    procfile: Path | None = None
    env_file: Path | None = None
    state: Path | None = None
    port: int = DEFAULT_PORT
    watch: bool = True

    @property
    def procfile_path(self) -> Path:
        return self.procfile or self.file.with_suffix(".procfile")

    @property
    def env_file_path(self) -> Path:
        return self.env_file or self.file.with_suffix(".env")

    def state_path(self, slice_name: str) -> Path:
        """Absolute, because processes run with other working directories."""
        return (self.state or self.file.parent / ".rslice" / slice_name).absolute()
