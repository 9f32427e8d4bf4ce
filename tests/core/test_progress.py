"""Progress on a terminal and in a log, and what Ctrl-C says of it."""

import io
import itertools
import sys

import pytest

from jaxmem.core import progress
from jaxmem.core.progress import Progress, interrupted, on_interrupt
from support import terminal

# Messages between updates of a bar, and a second bar within the first.
SCRIPT = """
import warnings
from jaxmem.core.progress import Progress, say
with Progress(4, "step") as bar:
  for step in range(1, 5):
    bar.update(step, f"loss {step}, saves at 4")
    say(f"message {step}")
    if step == 2:
      with Progress(None, "examples", delay=1e-9) as inner:
        for _ in range(3):
          inner.advance()
    if step == 3:
      warnings.warn("a warning")
say("the end")
"""


@pytest.mark.parametrize("size", [(24, 80), (0, 0)])
def test_a_message_leaves_the_bar_whole(size):
  """Every message has a line of its own, and one bar is left below them."""
  lines = terminal.screen(terminal.run([sys.executable, "-c", SCRIPT], size))

  assert lines[:3] == [f"message {step}" for step in range(1, 4)]
  assert lines[3].endswith("UserWarning: a warning") and "%|" not in lines[3]
  (bar,) = (line for line in lines if "%|" in line)
  assert bar.startswith("100%|") and "| 4/4 00:00<00:00" in bar
  assert bar.endswith("loss 4, saves at 4") and len(bar) <= 80
  below = lines[lines.index("message 4") + 1 :]
  assert [line for line in below if line] == [bar, "the end"]


def test_a_log_gets_a_line_now_and_then(monkeypatch):
  """The first after 10 seconds, then with the time so far ever fewer: one a minute."""
  now, log = [0.0], io.StringIO()
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  with Progress(7200, "documents", done=200, file=log) as bar:
    for second in range(1, 7001):
      now[0] = float(second)
      bar.advance(1, "tokenized, saves at the end")

  lines = log.getvalue().splitlines()
  assert lines[0] == (
    "documents    210/7200  tokenized  saves at the end  116.5 min left"
  )
  assert lines[1].startswith("documents    215/7200") and len(lines) == 162
  done = [int(line.split()[1].split("/")[0]) for line in lines]
  assert [b - a for a, b in itertools.pairwise(done)][-90:] == [60] * 90
  assert bar.done == 7200 and bar.seconds == 7000


def test_every_update_is_a_line_where_it_is_asked_for(capsys):
  with Progress(2, "step", every_update=True, file=sys.stdout) as bar:
    bar.update(1, "loss 2.0")
    bar.update(2, "loss 1.0")
  with Progress(2, "step", every_update=True, show=False) as bar:
    bar.update(2)

  out, err = capsys.readouterr()
  assert out.splitlines() == [
    "step      1/2  loss 2.0  0.0 min left",
    "step      2/2  loss 1.0  0.0 min left",
  ]
  assert err == ""


def _stop():
  raise KeyboardInterrupt


def test_an_interrupt_says_how_far_the_innermost_work_came():
  with pytest.raises(KeyboardInterrupt) as caught:
    with on_interrupt("nothing is written"):
      with Progress(2000, "files", resume="the same command continues") as bar:
        bar.update(1200)
        with Progress(3, "examples") as inner:  # does not say how it goes on
          inner.update(1)
          _stop()
  message = interrupted(caught.value)
  assert message == "interrupted: 1,200 of 2,000 files done; the same command continues"
  assert interrupted(KeyboardInterrupt()) == "interrupted: give the same command again"
