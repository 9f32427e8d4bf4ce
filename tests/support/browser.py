"""A page in headless Chromium: what it shows, and what it complains about."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--hide-scrollbars", "--enable-logging=stderr",
]  # fmt: skip
# A page tells the page around it what it measures.
MEASURE = """<script>addEventListener("load", () => {
const page = document.documentElement, style = getComputedStyle(document.body);
const pixels = [...document.images].map(
  i => i.complete ? i.naturalWidth * i.naturalHeight : 0);
parent.postMessage(JSON.stringify({pixels, width: page.scrollWidth, window: innerWidth,
  text: style.color, page: style.backgroundColor, dom: page.outerHTML}), "*") })
</script>"""
# A frame is as narrow as it says, where a window has a least width.
FRAME = """<body><script>addEventListener("message",
  event => { document.body.dataset.measured = event.data })</script>
<iframe src="copy.html" style="width: %spx; height: 800px"></iframe></body>"""


def browse(page: Path, profile: Path, *flags: str) -> str:
  """Opens a page, and returns what Chromium writes to its standard output.

  Args:
    page: the file.
    profile: a directory for the settings of the browser.
    *flags: of Chromium.
  """
  flags = [*QUIET, f"--user-data-dir={profile}", *flags, page.as_uri()]
  process = subprocess.run(
    [CHROMIUM, *flags], capture_output=True, text=True, timeout=120
  )
  assert process.returncode == 0, process.stderr
  console = [line for line in process.stderr.splitlines() if ":CONSOLE" in line]
  assert not console, console
  return process.stdout


def measured(page: Path, folder: Path, width: int, *flags: str) -> dict[str, Any]:
  """Returns the DOM of a page, and its pictures, widths and colours.

  Args:
    page: the file; a copy of it is opened, away from its pictures.
    folder: for the copy and the settings of the browser.
    width: of the page, in pixels.
    *flags: of Chromium.
  """
  text = page.read_text().replace("</body>", MEASURE + "</body>")
  (folder / "copy.html").write_text(text)
  frame = folder / "frame.html"
  frame.write_text(FRAME % width)
  flags = ("--dump-dom", "--virtual-time-budget=3000", *flags)
  dump = browse(frame, folder / "profile", *flags)
  return json.loads(html.unescape(re.search(r'data-measured="(.*?)"', dump, re.S)[1]))
