"""Examples by number: a seed fixes them, and train and test share none."""

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.tasks.synthetic import problems
from jaxmem.tasks.synthetic.episodes import (
  BLOCK,
  Episodes,
  example_rows,
  parse,
  split_of,
)

NAMES = problems.names()


def of(split: str, name: str = "mqar", length: int = 24, seed: int = 0) -> Episodes:
  return Episodes(parse(f"{name}:pairs=4"), length, seed, split)


def test_a_number_is_always_the_same_example():
  numbers = [0, BLOCK + 3, 5]
  first, backwards = of("train")[numbers], of("train")[numbers[::-1]]
  for a, b in zip(first, backwards, strict=True):
    np.testing.assert_array_equal(a, b[::-1])
  other_seed = of("train", seed=1)[numbers]
  assert (first.tokens != other_seed.tokens).any(1).all()
  assert len(set(of("train").ids(range(9)) + of("test").ids(range(9)))) == 18


@pytest.mark.parametrize("name", NAMES)
def test_train_and_test_share_no_example(name):
  """The tokens alone determine the split, whatever the seeds."""
  task = parse(name)
  examples = {}
  for split in ("train", "test"):
    rows = [
      Episodes(task, task.length, seed, split)[range(BLOCK)].tokens for seed in (0, 7)
    ]
    examples[split] = {row.tobytes() for part in rows for row in part}
  assert (
    examples["train"] and examples["test"] and not examples["train"] & examples["test"]
  )


def test_a_split_of_few_examples_never_takes_the_others():
  """Parity of 6 bits has only 64 examples, and still the splits share none."""
  splits = ("train", "test")
  tokens = {s: Episodes(parse("parity"), 6, 0, s)[range(BLOCK)].tokens for s in splits}
  examples = [{row.tobytes() for row in tokens[s]} for s in splits]
  assert not examples[0] & examples[1]
  assert all(split_of(row) == "test" for row in tokens["test"])


def test_processes_read_the_rows_of_one_batch():
  batch = example_rows(of("train"), 8)[5]
  halves = [example_rows(of("train"), 8, (i, 2))[5] for i in (0, 1)]
  for key, value in batch.items():
    np.testing.assert_array_equal(value, np.concatenate([h[key] for h in halves]))
  assert batch["rows"].tolist() == list(range(40, 48))
  assert batch["reset"][:, 0].all() and not batch["reset"][:, 1:].any()
  assert example_rows(of("train"), 8).fingerprint != (
    example_rows(of("train", seed=1), 8).fingerprint
  )


@pytest.mark.parametrize(
  "old, new, fingerprint",
  [
    ("word_a5", "word_problem:group=a5:vocab_size=60", "b54451771c0b89ab"),
    ("word_s5", "word_problem", "9239e75a35e5ffe2"),
  ],
)
def test_old_names_are_the_same_examples(old, new, fingerprint):
  """A run of before 0.2 continues: its data have the fingerprint that they had."""
  rows, others = (
    example_rows(Episodes(parse(n), 8, 0, "train"), 4) for n in (old, new)
  )
  assert rows.fingerprint.startswith(fingerprint)
  for key, value in rows[3].items():
    np.testing.assert_array_equal(value, others[3][key])


@pytest.mark.parametrize(
  "text, says",
  [
    ("mqra", "did you mean 'mqar'"),
    ("mqar:pars=3", "did you mean 'pairs'"),
    ("mqar:pairs", "option=value"),
    ("mqar:length=9", "no option 'length'"),
    ("mqar:size=huge", "cpu, paper"),
  ],
)
def test_an_unknown_task_or_option_names_the_nearest(text, says):
  with pytest.raises(UserError, match=says):
    parse(text)


def test_sizes_are_settings_of_one_task():
  assert parse("mqar").vocab_size <= 256 < parse("mqar:size=paper").vocab_size
  with pytest.raises(UserError, match="pairs"):
    Episodes(parse("mqar:pairs=50"), 24, 0, "train")
