"""A file that ends when the test says so: work that takes as long as a test needs."""

import os
from pathlib import Path


class SlowFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # For reading too, so that opening waits for nobody, and readers find no end as long as this is open.
        self._pipe = os.open(path, os.O_RDWR)

    def write(self, data: bytes) -> None:
        os.write(self._pipe, data)

    def end(self) -> None:
        os.close(self._pipe)
