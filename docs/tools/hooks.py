"""The hooks by which MkDocs gets the generated pages, tables and formulas."""

import html
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# MkDocs loads this file by its path, outside of a package
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from docs.tools import pages, tables  # noqa: E402

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def on_config(config):
  """Completes the navigation."""
  config.nav = pages.completed(config.nav)
  return config


def on_files(files, config):
  """Adds the generated pages and the pictures beside them."""
  for uri, content in pages.generated().items():
    files.append(File.generated(config, uri, content=content))
  return files


def on_page_markdown(markdown, page, config, files):
  """Puts the tables where their names stand."""
  return tables.filled(markdown)


def on_page_content(html_text, page, config, files):
  """Turns formulas into MathML, which browsers show without a script."""
  return _MATH.sub(_mathml, html_text)


def _mathml(match: re.Match) -> str:
  from latex2mathml import converter

  display = "block" if match[1] == "div" else "inline"
  return converter.convert(html.unescape(match[2].strip()), display=display)
