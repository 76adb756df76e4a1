"""Pages, searches and filters the samples of a report as a reader does, in headless Chromium, and checks what is then shown.

    python3 scripts/click_page.py PAGE.html

The report of a run that compares (`groma run`) has all that is clicked. Chromium is spoken to over its debugging pipe: mouse
and keys are real events, and the page's policy, which lets nothing be put into it, stays as it is.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

A_PAGE = 20
CARDS = "[...document.querySelectorAll('#samples > .sample')]"
SHOWN = f"{CARDS}.filter(card => card.offsetParent !== null)"


class Browser:
    """Chromium, and one page of it."""

    def __init__(self, page, profile):
        program = which("chromium") or which("chromium-browser") or which("google-chrome")
        assert program, "there is no Chromium (apt-get install chromium)"
        (read_there, self.write), (self.read, write_there) = os.pipe(), os.pipe()

        def ends():
            os.dup2(read_there, 3)
            os.dup2(write_there, 4)
            os.set_inheritable(3, True)
            os.set_inheritable(4, True)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9", "--window-size=1280,900"]
        command = [program, *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(command, preexec_fn=ends, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(read_there)
        os.close(write_there)
        self.rest, self.count, self.session = b"", 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.read, 1 << 16)
            assert more, "Chromium has gone"
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def wait_for(self, event):
        while self.message().get("method") != event:
            pass

    def ask(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while (answer := self.message()).get("id") != self.count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, expression):
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, (expression, found)
        return found["result"].get("value")

    def click(self, selector):
        place = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{place}.scrollIntoView({{block: 'center'}})")
        box = self.value(f"JSON.stringify({place}.getBoundingClientRect())")
        box = json.loads(box)
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        for kind in ["mousePressed", "mouseReleased"]:
            self.ask("Input.dispatchMouseEvent", type=kind, **where)

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def empty(self):
        """Takes what was typed away, as Ctrl-A and the delete key do."""
        for kind in ["keyDown", "keyUp"]:
            self.ask("Input.dispatchKeyEvent", type=kind, key="a", code="KeyA", windowsVirtualKeyCode=65, modifiers=2,
                     commands=["selectAll"] if kind == "keyDown" else [])
        for kind in ["keyDown", "keyUp"]:
            self.ask("Input.dispatchKeyEvent", type=kind, key="Delete", code="Delete", windowsVirtualKeyCode=46)

    def choose(self, name, value):
        """Chooses of a list by its keys: the first letter that leads there is the browser's own business."""
        self.value(f"document.querySelector('#filters [name={name}]').focus()")
        options = self.value(f"[...document.querySelectorAll('#filters [name={name}] option')].map(o => o.value)")
        for key, code in [("Home", 36)] + [("ArrowDown", 40)] * options.index(value):
            for kind in ["rawKeyDown", "keyUp"]:
                self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
        assert self.value(f"document.querySelector('#filters [name={name}]').value") == value, (name, value)

    def close(self):
        self.session = None
        self.ask("Browser.close")
        self.process.wait(timeout=20)


def texts(browser):
    return browser.value(f"{SHOWN}.map(card => card.textContent.toLowerCase())")


def said(browser):
    return browser.value("document.getElementById('shown').textContent")


def check_pages(browser, total):
    last = -(-total // A_PAGE)
    first = texts(browser)
    assert len(first) == min(A_PAGE, total), (len(first), total)
    assert browser.value("document.getElementById('page').textContent") == f"page 1 of {last}"
    assert browser.value("document.querySelector('#pages [name=back]').disabled") is True
    browser.click("#pages [name=on]")
    second = texts(browser)
    assert second != first and browser.value("document.getElementById('page').textContent") == f"page 2 of {last}"
    for _ in range(last - 2):
        browser.click("#pages [name=on]")
    assert browser.value("document.querySelector('#pages [name=on]').disabled") is True
    assert len(texts(browser)) == total - A_PAGE * (last - 1)
    for _ in range(last - 1):
        browser.click("#pages [name=back]")
    assert texts(browser) == first
    print(f"{last} pages of {total} samples, there and back")


def check_search(browser, total):
    words = " ".join(texts(browser)).split()
    word = max({word for word in words if word.isalpha() and len(word) < 14}, key=len)
    browser.click("#filters [name=text]")
    browser.type(word)
    found = texts(browser)
    assert found and all(word in text for text in found), word
    count = browser.value(f"{CARDS}.filter(card => card.textContent.toLowerCase().includes({json.dumps(word)})).length")
    assert said(browser) == f"{count} of {total} samples", (said(browser), count)
    browser.empty()
    browser.type("no such words are anywhere")
    assert texts(browser) == [] and browser.value("document.getElementById('none').offsetParent !== null")
    browser.empty()
    assert said(browser) == f"{total} of {total} samples", said(browser)
    print(f"the search finds {count} samples with “{word}”, and nothing where there is nothing")


def check_filters(browser, total):
    counts = {}
    rules = {"changed": "d.changed === 'true'", "same": "d.changed !== 'true'", "newly": "d.refusedBefore !== 'true' && d.refusedAfter === 'true'"}
    for value, rule in rules.items():
        if not browser.value(f"!!document.querySelector('#filters option[value={value}]')"):
            continue
        browser.choose("show", value)
        counts[value] = browser.value(f"{CARDS}.map(card => card.dataset).filter(d => {rule}).length")
        assert said(browser) == f"{counts[value]} of {total} samples", (value, said(browser))
        assert browser.value(f"{SHOWN}.map(card => card.dataset).every(d => {rule})"), value
    browser.choose("show", "")
    tasks = browser.value("[...document.querySelectorAll('#filters [name=task] option')].map(o => o.value)")[1:]
    for task in tasks:
        browser.choose("task", task)
        assert browser.value(f"{SHOWN}.every(card => card.dataset.task === '{task}')"), task
    browser.choose("task", "")
    assert counts["changed"] + counts["same"] == total, counts
    print(f"filters: {counts}, {len(tasks)} tasks")


def main(page):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(page).resolve(), profile)
        try:
            total = browser.value(f"{CARDS}.length")
            assert total > A_PAGE, f"{page} has {total} samples, too few to be paged"
            assert browser.value("document.getElementById('filters').offsetParent !== null"), "the filters are there"
            check_pages(browser, total)
            check_search(browser, total)
            check_filters(browser, total)
        finally:
            browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
