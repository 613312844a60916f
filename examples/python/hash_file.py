"""What the worker of this example does."""

import hashlib
import threading
from pathlib import Path

CHUNK_BYTES = 64 * 1024


class Stopped(Exception):
    """Told to stop before the end."""


def hash_file(path: Path, stop: threading.Event) -> bytes:
    """SHA-256 of a file, read chunk by chunk. Raises `Stopped` at the next chunk once `stop` is set, or `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read1(CHUNK_BYTES):
            if stop.is_set():
                raise Stopped
            digest.update(chunk)
    return digest.digest()
