"""A headless Chromium driven through its DevTools protocol, over a pipe: no other program, and no port, is needed."""

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--disable-background-networking",
           "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe")  # fmt: skip


class Browser:
    """One page of a browser. requests: addresses that it asked for; complaints: console errors and exceptions."""

    def __init__(self, program: str, profile: Path) -> None:
        read_commands, self.commands = os.pipe()
        self.answers, write_answers = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        command = ["bash", "-c", f'exec "$@" 3<&{read_commands} 4>&{write_answers}', "bash"]
        self.process = subprocess.Popen(
            [*command, program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(read_commands, write_answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_commands)
        os.close(write_answers)
        self.buffer, self.number, self.events = b"", 0, []
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.session: str | None = None
        [page] = [target for target in self._targets() if target["type"] == "page"]
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _targets(self) -> list[dict[str, Any]]:
        for _ in range(50):
            targets = self.call("Target.getTargets")["targetInfos"]
            if any(target["type"] == "page" for target in targets):
                return targets
            time.sleep(0.1)
        raise AssertionError("the browser has no page")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self, patience_s: float = 60.0) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], patience_s)
            assert ready, "the browser does not answer"
            self.buffer += os.read(self.answers, 1 << 20)
        text, self.buffer = self.buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(text)
        self._note(answer)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        if method:
            self.events.append(method)

    def open(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of that size (px), as a system in light or dark colours would."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self.events:
            self._next()

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, such as Tab, Enter or ArrowRight, where the focus is."""
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowLeft": 37}[key]
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key == "Enter":
            event["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """A picture of the window, or of the whole page, as PNG."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        self.session = None
        os.write(self.commands, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        os.close(self.commands)
        os.close(self.answers)
