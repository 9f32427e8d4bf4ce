"""What a built page would fetch from elsewhere: nothing, or the build fails."""

import re
from html.parser import HTMLParser
from pathlib import Path

# Attributes by which a browser fetches something to show a page. A link that a reader
# follows (`a href`) may lead anywhere.
_FETCHES = {
  ("audio", "src"),
  ("iframe", "src"),
  ("img", "src"),
  ("img", "srcset"),
  ("object", "data"),
  ("script", "src"),
  ("source", "src"),
  ("video", "src"),
}
# Relations of `link` that name the page and fetch nothing.
_NAMES = {"canonical", "alternate", "next", "prev"}
_ELSEWHERE = re.compile(r"^(https?:)?//")
_CSS_URL = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


class _Page(HTMLParser):
  """Collects the addresses that a page fetches."""

  def __init__(self):
    super().__init__()
    self.addresses: list[str] = []

  def handle_starttag(self, tag, attrs):
    attributes = dict(attrs)
    for name, value in attrs:
      if (tag, name) in _FETCHES:
        self.addresses.append(value or "")
    if tag == "link" and attributes.get("rel", "") not in _NAMES:
      self.addresses.append(attributes.get("href", ""))
    # the theme fetches Mermaid for a page that has a diagram of it
    if "mermaid" in attributes.get("class", "").split():
      self.addresses.append("https://unpkg.com/mermaid")


def fetched(site: Path) -> list[str]:
  """Returns a line for each address outside of the site that a page or style fetches.

  Args:
    site: the folder of the built site.
  """
  lines = []
  for path in sorted(site.rglob("*.html")):
    page = _Page()
    page.feed(path.read_text())
    for address in page.addresses:
      if _ELSEWHERE.match(address):
        lines.append(f"{path.relative_to(site)} fetches {address}")
  for path in sorted(site.rglob("*.css")):
    for address in _CSS_URL.findall(path.read_text()):
      lines.append(f"{path.relative_to(site)} fetches {address}")
  return lines
