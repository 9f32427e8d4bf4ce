"""Draws pictures of results/ from the numbers beside them: python -m docs.tools.redraw

Pictures whose numbers are not kept are written by the command that their page names.
"""

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from jaxmem.core import files
from jaxmem.evaluation.compare import pictures, table
from jaxmem.tasks import plots
from jaxmem.tasks.dialogue.turns import Turn

RESULTS = Path(__file__).parents[2] / "results"


def comparison(folder: Path, task: str) -> None:
  """Draws a comparison from its `table.csv`; `depth.png` needs more than it has.

  Args:
    folder: with `table.csv`.
    task: of the comparison.
  """
  with open(folder / "table.csv", newline="", encoding="utf-8") as file:
    lines = [line for line in csv.DictReader(file) if not line["failed"]]
  summary: dict[tuple[str, int], dict] = {}
  for line in lines:  # a line is a run at one length
    memory, trained = line["memory"], int(line["trained_at"])
    row = summary.setdefault((memory, trained), {"at": {}})
    row["at"].setdefault(int(line["asked_at"]), []).append(float(line["answers"]))
    row |= {"memory": memory, "length": trained, "seeds": len(row["at"][trained])}
    row["state_bytes_per_layer"] = int(line["state_bytes_per_layer"])
  rows = list(summary.values())
  pictures.draw(rows, task, folder, table.chance(task, rows))


def cells(page: Path, header: str) -> Iterator[list[str]]:
  """Yields the cells of the rows of a Markdown table.

  Args:
    page: with the table.
    header: how the line of its header begins.
  """
  lines = iter(files.read_text(page).splitlines())
  for line in lines:
    if line.startswith(header):
      break
  for line in itertools.takewhile(lambda line: line.startswith("|"), lines):
    if not line.startswith("|--"):
      yield [cell.strip() for cell in line.strip("|").split("|")]


def dialogue(page: Path) -> None:
  """Draws the exact answers by turn from the table of `dialogue.md`."""
  scores: dict[str, dict[int, Turn]] = {"carried": {}, "reset": {}}
  for turn, answers, carried, reset, *_ in cells(page, "| turn |"):
    for way, share in (("carried", carried), ("reset", reset)):
      if turn != "all":
        count = int(answers)
        scores[way][int(turn)] = Turn(count, round(float(share) * count))
  guess = re.search(r"gets (0\.\d+) by guessing among them", files.read_text(page))
  assert guess is not None
  title = "Held-out dialogues of recall:facts=4:count=65536"
  path = page.with_suffix("") / "turns.png"
  plots.turns(scores, path, title, ("among the names told", float(guess[1])))


def positions(page: Path, path: Path, names: list[str], title: str) -> None:
  """Draws bits per byte by position from the table of a page.

  Args:
    page: with the table.
    path: of the PNG.
    names: of the columns after the first two.
    title: of the picture.
  """
  edges, curves = [0], {name: [] for name in names}
  for position, _, *bits in cells(page, "| position"):
    if position != "all":
      edges.append(int(position.split(" to ")[1].replace(",", "")) + 1)
      for name, value in zip(names, bits, strict=False):
        curves[name].append(float(value))
  plots.by_position(edges, curves, path, title)


def main() -> None:
  """Draws all pictures of results/ whose numbers are kept."""
  comparison(RESULTS / "compare_mqar", "mqar:pairs=8")
  comparison(RESULTS / "compare_parity", "parity")
  dialogue(RESULTS / "dialogue.md")
  positions(
    RESULTS / "one_million.md",
    RESULTS / "one_million" / "one_million.png",
    ["carried"],
    "One document of a million bytes",
  )
  positions(
    RESULTS / "length_generalisation.md",
    RESULTS / "length_generalisation" / "carried.png",
    ["trained empty", "trained passed", "trained carried"],
    "Read with the memory carried, trained on segments of 1,024",
  )


if __name__ == "__main__":
  main()
