"""The processes that the tests start: the service, by its own command, and the example worker."""

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples/python"

# Far more than anything here takes: what hangs shall end, but a slow machine is no failure.
LONG_SECONDS = 120.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited too long until {what}"
        time.sleep(0.02)


class Process:
    """A child process, read line by line. `lines` is all that it said so far."""

    def __init__(self, command: list[str], environment: dict[str, str], stdin: int = subprocess.DEVNULL) -> None:
        self.lines: list[str] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._child.stdout:
            self.lines.append(line.rstrip())
            self._unread.put(line)
        self._unread.put(None)

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """The first line not read yet that matches."""
        deadline = time.monotonic() + LONG_SECONDS
        with contextlib.suppress(queue.Empty):
            while (line := self._unread.get(timeout=max(0, deadline - time.monotonic()))) is not None:
                if match := re.search(pattern, line):
                    return match
        raise AssertionError(f"did not say {pattern!r}:\n" + "\n".join(self.lines))

    def say(self, line: str) -> None:
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def say_no_more(self) -> None:
        self._child.stdin.close()

    def terminate(self) -> None:
        self._child.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit code."""
        return self._child.wait(LONG_SECONDS)

    def end(self) -> None:
        """Stops it, if it has not ended, and leaves nobody behind."""
        self.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


class Service:
    """A service of its own with an embedded Postgres in a folder of its own. Starts again at the same address."""

    def __init__(self) -> None:
        # Not below the test's own folder: the embedded Postgres may run as another user.
        self._folder = tempfile.mkdtemp(prefix="stint-python-")
        self.address = "127.0.0.1:0"
        self._process: Process | None = None

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "STINT_LISTEN": self.address,
            "STINT_ADMIN_LISTEN": "127.0.0.1:0",
            "STINT_DATA_DIR": self._folder,
            "STINT_LOG_LEVEL": "error",
        }
        self._process = Process(["node", "--enable-source-maps", str(ROOT / "dist/src/main.js")], environment)
        self.address = self._process.wait_for_line(r"serves gRPC on (\S+) \(admin")[1]

    def terminate(self) -> None:
        self._process.terminate()

    def stop(self) -> None:
        self.terminate()
        assert self._process.wait() == 0

    def remove(self) -> None:
        """Stops it, if it has not stopped, and leaves nothing behind."""
        if self._process is not None:
            self._process.end()
        shutil.rmtree(self._folder, ignore_errors=True)


class Replicas:
    """Three replicas over a Postgres of their own."""

    def __init__(self) -> None:
        command = ["node", "--import", "tsx", str(ROOT / "test/support/rolling-restart-in-child.ts")]
        self._process = Process(command, dict(os.environ), stdin=subprocess.PIPE)
        self.addresses = self._process.wait_for_line(r"^replicas (\S+)")[1]

    def restart_each(self) -> None:
        """One after the other: each serves again before the next is told to stop."""
        self._process.say("restart")
        self._process.wait_for_line(r"^restarted$")

    def remove(self) -> None:
        self._process.say_no_more()
        assert self._process.wait() == 0, self._process.lines


def start_worker(queue_name: str, address: str, *, slots: int = 1, lease_seconds: float = 30) -> Process:
    script = str(EXAMPLES / "worker.py")
    options = ["--address", address, "--slots", str(slots), "--lease", str(lease_seconds)]
    return Process([sys.executable, "-u", script, queue_name, "worker-1", *options], dict(os.environ))
