"""Takes pictures of the desk as a browser shows it: docs/pictures/desk-light.png and desk-dark.png.

`make pictures` runs it, with .venv's Python and a chromium: the stack is deployed into the emulator, orders fail, and
the links are those of the e-mails that follow.
"""

import base64
import json
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from local import events, processes
from local.reader import link_in
from local.scenes import PARAMETERS
from local.stack import ROOT, STATE, LocalStack
from local.watch import Watch, until

PICTURES = ROOT / "docs" / "pictures"
CASES = [case for case in events.ORDERS if case.outcome_after_grace == "failing"]
FIRST = events.BY_NAME["key-with-nfe-prefix-and-spaces"]
PHONE: ViewportSize = {"width": 390, "height": 860}
DESKTOP: ViewportSize = {"width": 1000, "height": 860}
SPACE = 24
_PATIENCE = 60.0


def links(stack: LocalStack) -> tuple[str, str]:
    """Let orders fail, and return the link to one of them and that to the list of all."""
    watch = Watch(stack)
    stack.vtex("PUT", "orders", [events.order_document(case) for case in CASES])
    for case in CASES:
        stack.post_hook(json.dumps(case.notification).encode())
    until(lambda: len(watch.records()) >= len(CASES), "every failure's record", _PATIENCE)
    stack.invoke("SendDigestFunction", {"reminder": True})
    (reminder,) = until(lambda: watch.emails(kind="reminder"), "the reminder", _PATIENCE)
    (alert,) = until(lambda: watch.emails(FIRST.order_id), "the alert", _PATIENCE)
    return link_in(alert.text), link_in(reminder.text)


def shot(browser: Browser, link: str, size: ViewportSize, scheme: Literal["light", "dark"]) -> bytes:
    """Take a picture of the beginning of a page."""
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="pt-BR", device_scale_factor=1)
    page = context.new_page()
    page.goto(link)
    taken = page.screenshot()
    context.close()
    return taken


def side_by_side(browser: Browser, *shots: bytes, path: Path) -> None:
    """Write pictures beside each other, each in a frame."""
    images = "".join(f'<img src="data:image/png;base64,{base64.b64encode(shot).decode()}">' for shot in shots)
    page = browser.new_page(viewport={"width": PHONE["width"] + DESKTOP["width"] + 4 * SPACE, "height": 920})
    page.set_content(
        f"<style>body{{margin:0;padding:{SPACE}px;display:flex;gap:{SPACE}px;background:transparent}}"
        f"img{{border:1px solid #8888;border-radius:8px}}</style>{images}"
    )
    page.screenshot(path=str(path), full_page=True, omit_background=True)
    page.close()


def main() -> int:
    """Take the pictures."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("A chromium is needed: on Debian, apt install chromium.", file=sys.stderr)
        return 1
    emulator_port, vtex_port = processes.free_ports(2)
    with ExitStack() as opened:
        stack = opened.enter_context(LocalStack(emulator_port, vtex_port, STATE / "pictures", PARAMETERS, say=print))
        order, list_ = links(stack)
        browser = opened.enter_context(sync_playwright()).chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox"],
            env={**os.environ, "LANGUAGE": "pt_BR"},  # how it writes days
        )
        for scheme in ("light", "dark"):
            path = PICTURES / f"desk-{scheme}.png"
            shots = (shot(browser, order, PHONE, scheme), shot(browser, list_, DESKTOP, scheme))
            side_by_side(browser, *shots, path=path)
            print(f"written: {path.relative_to(ROOT)}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
