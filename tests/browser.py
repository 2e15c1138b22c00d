"""Chromium without a window, steered over two pipes by the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SECONDS = 60
"""What a page may take to load, and Chromium to answer."""


class Page:
    """A page that was opened.

    Attributes:
        complaints: what the page wrote to the console, exceptions, and what the browser says of it.
        requests: the addresses that it asked for, its own included.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read = os.fdopen(read, "rb", buffering=0)
        self._write = os.fdopen(write, "wb", buffering=0)
        self._rest = b""
        self._count = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False

    def open(self, path: Path, width: int, height: int, dark: bool) -> None:
        """Load a file for a window of ``width`` x ``height``."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        metrics = {"deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=path.resolve().as_uri())
        while not self._loaded:
            self._receive()
        drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.evaluate(f"{drawn}.then(() => 0)")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page; an exception fails."""
        found = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The whole page, as pixels [height, width, 3]."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        picture = Image.open(io.BytesIO(base64.b64decode(found["data"])))
        return np.asarray(picture.convert("RGB"))

    def send(self, method: str, **params: Any) -> Any:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            found = self._read.read(1 << 20)
            assert found, "Chromium ended"
            self._rest += found
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.complaints.append(json.dumps(params))
        return message


@contextlib.contextmanager
def opened(
    path: Path, profile: Path, width: int = 1280, height: int = 900, dark: bool = False
) -> Iterator[Page]:
    """A file in Chromium; ``profile`` is a folder that it may write to. Skips without Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed (Debian package chromium)")
    theirs, write = os.pipe()
    read, ours = os.pipe()
    pipes = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10) for pipe in (theirs, ours)]

    def as_three_and_four() -> None:
        for number, pipe in enumerate(pipes, 3):
            os.dup2(pipe, number)

    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    command += ["--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    with subprocess.Popen(
        command, close_fds=False, preexec_fn=as_three_and_four, stderr=subprocess.DEVNULL
    ) as process:
        for pipe in (theirs, ours, *pipes):
            os.close(pipe)
        try:
            page = Page(read, write)
            page.open(path, width, height, dark)
            yield page
        finally:
            process.kill()
            page._read.close()
            page._write.close()
