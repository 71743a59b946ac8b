"""A real browser for tests: chromium without a window, driven over its debugging pipe."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

__all__ = ["Page", "Browser"]

_PATIENCE: Final = 50.0
# Chromium takes commands on descriptor 3 and answers on 4, messages ended by a NUL. A page of a file needs no network.
_COMMAND: Final = [
    "chromium",
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--window-size=1400,900"),
    *("--remote-debugging-pipe", "about:blank"),
]
_START: Final = """
import fcntl, os, sys
apart = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for place, fd in enumerate(apart, 3):
    os.dup2(fd, place)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Chromium with a profile in `directory`; a context manager."""

    def __init__(self, directory: Path) -> None:
        theirs, self._commands = os.pipe()
        self._answers, back = os.pipe()
        command = [*_COMMAND[:1], f"--user-data-dir={directory / 'profile'}", *_COMMAND[1:]]
        environment = os.environ | {"HOME": str(directory), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs), str(back), *command],
            pass_fds=[theirs, back],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
        os.close(theirs)
        os.close(back)
        self._kept = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._commands)
        os.close(self._answers)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._kept:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError("chromium does not answer")
            part = os.read(self._answers, 1 << 16)
            if not part:
                raise AssertionError("chromium ended")
            self._kept += part
        message, _, self._kept = self._kept.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path, *, fragment: str = "", dark: bool = False) -> Page:
        """A page of a file, once it says that it is ready."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=path.as_uri() + fragment)
        page.until("document.documentElement?.dataset.ready === 'yes'")
        return page


class Page:
    """One page that is open."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command about this page."""
        return self._browser.call(method, self._session, **parameters)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is in the page, as JSON can say it."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits until it is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def type(self, selector: str, text: str) -> None:
        """Puts the text into a field, as a person who types over what is there."""
        self.value(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def point(self, selector: str) -> tuple[float, float]:
        """The middle of the first element that the selector finds."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.value(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        return x, y

    def click(self, x: float, y: float) -> None:
        """The left button, there."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """A key that has no letter: ArrowDown, Escape."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def troubles(self) -> list[str]:
        """Errors, warnings of the policy, and everything that was to be loaded besides the file itself."""
        self.value("0")
        found = []
        for event in self._browser.events:
            method, what = event.get("method"), event.get("params", {})
            if event.get("sessionId") != self._session:
                continue
            if method == "Runtime.exceptionThrown" or method == "Log.entryAdded":
                found.append(json.dumps(what))
            elif method == "Network.requestWillBeSent" and what.get("type") != "Document":
                found.append(what["request"]["url"])
        return found
