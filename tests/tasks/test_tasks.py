"""Every task asks what can be answered, and its answers are right.

Each task has an oracle here: a slow solver that reads the tokens of one example and
nothing else, and says where an answer is due, and which.
"""

import inspect
import itertools
import math
import statistics

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.tasks.synthetic import problems
from jaxmem.tasks.synthetic.problems import parts


def recall(tokens, vocab_size, **_):
  """Pairs, then questions; a later value of a key replaces the earlier."""
  value, due, at = {}, {}, 0
  while tokens[at + 1] >= vocab_size // 2:
    value[tokens[at]] = tokens[at + 1]
    at += 2
  for t in range(at, len(tokens)):
    if tokens[t]:
      due[t] = value[tokens[t]]
  return due


def compositional(tokens, vocab_size, **_):
  third, value, due, at = vocab_size // 3, {}, {}, 0
  while tokens[at + 2] >= 2 * third:
    value[tokens[at], tokens[at + 1]] = tokens[at + 2]
    at += 3
  for t in range(at, len(tokens)):
    if tokens[t] >= third:
      due[t] = value[tokens[t - 1], tokens[t]]
  return due


def stacked(tokens, vocab_size, **_):
  value, due = {}, {}
  for t, token in enumerate(tokens):
    key, its = divmod(token, math.isqrt(vocab_size))
    if key and its:
      assert value.setdefault(key, its) == its
    elif key:
      due[t] = value[key]
  return due


def repeat(tokens, **_):
  string = iter([token for token in tokens if token > 1])
  return {t: next(string) for t, token in enumerate(tokens) if token == 1}


def ordered(tokens, **_):
  items = iter(sorted(token for token in tokens if token > 1))
  return {t: next(items) for t, token in enumerate(tokens) if token == 1}


def induction(tokens, **_):
  assert tokens.count(1) == 2
  return {len(tokens) - 1: tokens[tokens.index(1) + 1]}


def noisy(tokens, vocab_size, noise_vocab, **_):
  kinds = (vocab_size - (noise_vocab or vocab_size // 2) - 1) // 2
  value, due = {}, {}
  for t in range(0, len(tokens), 2):
    if tokens[t] <= kinds:
      if tokens[t] in value:
        due[t] = value[tokens[t]]
        assert tokens[t + 1 : t + 2] in ([due[t]], [])
      else:
        value[tokens[t]] = tokens[t + 1]
  return due


def fuzzy(tokens, vocab_size, **_):
  kind = lambda t: (tokens[t] > 0) + (tokens[t] > (vocab_size - 1) // 2)
  runs = [list(run) for _, run in itertools.groupby(range(len(tokens)), kind)]
  runs, value, due = runs[kind(0) == 0 :], {}, {}
  for key_at, value_at in zip(runs[::2], runs[1::2], strict=True):
    key, its = (tuple(tokens[t] for t in at) for at in (key_at, value_at))
    assert len(set(key)) == len(key) and len(set(its)) == len(its)
    if key in value:
      assert its == value[key]
      due |= {t - 1: tokens[t] for t in value_at}
    value[key] = its
  return due


def parity(tokens, **_):
  return {t: 1 + tokens[: t + 1].count(2) % 2 for t in range(len(tokens))}


def word(tokens, even):
  sign = lambda p: round(np.linalg.det(np.eye(5)[list(p)]))
  group = [p for p in itertools.permutations(range(5)) if not even or sign(p) == 1]
  where, due = list(range(5)), {}
  for t, token in enumerate(tokens):
    where = [group[token][place] for place in where]
    due[t] = group.index(tuple(where))
  return due


def arithmetic(tokens, modulus, **_):
  signs = ["", *map(str, range(modulus)), *"+-*=()"]
  text = "".join(signs[token] for token in tokens)
  assert text.endswith("=")
  return {len(tokens) - 1: 1 + eval(text[:-1]) % modulus}


def lists(tokens, **_):
  do = {
    11: min,
    12: max,
    13: lambda of: int(statistics.median(of)),
    14: lambda of: sum(of) % 10,
  }
  stack = []
  for token in (token for token in tokens if token):
    if token < 15:
      stack.append(token)
      continue
    digits = []
    while stack[-1] <= 10:
      digits.append(stack.pop() - 1)
    assert len(digits) >= 2
    stack.append(1 + do[stack.pop()](digits))
  (answer,) = stack
  return {len(tokens) - 1: answer}


ORACLES = {
  "mqar": recall,
  "mqar_compositional": compositional,
  "mqar_forgetting": recall,
  "mqar_stacked": stacked,
  "induction": induction,
  "copy": repeat,
  "selective_copy": repeat,
  "sorting": ordered,
  "noisy_recall": noisy,
  "fuzzy_recall": fuzzy,
  "parity": parity,
  "word_problem": lambda tokens, group, **_: word(tokens, even=group == "a5"),
  "modular_arithmetic": arithmetic,
  "listops": lists,
}


def drawn(name, rows, seed=0, **sizes):
  return problems.get(name).draw(np.random.default_rng(seed), rows, **sizes)


def check(name, rows, **sizes):
  """Draws examples and holds every one against the oracle."""
  examples = drawn(name, rows, **sizes)
  tokens, targets, weights = examples
  assert tokens.shape == targets.shape == weights.shape == (rows, sizes["length"])
  assert (tokens.dtype, targets.dtype, weights.dtype) == (
    np.int32,
    np.int32,
    np.float32,
  )
  assert 0 <= min(tokens.min(), targets.min())
  assert max(tokens.max(), targets.max()) < sizes["vocab_size"]
  assert set(np.unique(weights)) <= {0, 1}
  assert (targets[weights == 0] == 0).all() and (weights.sum(1) > 0).all()
  for row in range(rows):
    due = ORACLES[name](tokens[row].tolist(), **sizes)
    asked = np.flatnonzero(weights[row])
    assert sorted(due) == asked.tolist()
    assert [due[t] for t in asked] == targets[row, asked].tolist()
  return examples


def test_every_task_has_an_oracle():
  assert sorted(ORACLES) == problems.names()


@pytest.mark.parametrize("size", ["cpu", "paper"])
@pytest.mark.parametrize("name", problems.names())
def test_answers_are_those_of_the_oracle(name, size):
  check(name, 32 if size == "cpu" else 4, **problems.get(name).SIZES[size])


@pytest.mark.parametrize("name", problems.names())
def test_longer_and_odd_examples_have_the_same_options(name):
  sizes = problems.get(name).SIZES["cpu"]
  for length in (sizes["length"] + 1, 8 * sizes["length"] - 1):
    check(name, 4, **sizes | {"length": length})


@pytest.mark.parametrize("name", problems.names())
def test_the_generator_fixes_the_examples(name):
  for a, b in zip(drawn(name, 4), drawn(name, 4), strict=True):
    np.testing.assert_array_equal(a, b)
  assert (drawn(name, 4).tokens != drawn(name, 4, seed=1).tokens).any()
  tokens = drawn(name, 32).tokens
  assert len(np.unique(tokens, axis=0)) == 32  # no row repeats another


@pytest.mark.parametrize("name", problems.names())
def test_the_defaults_are_the_size_for_a_cpu(name):
  task = problems.get(name)
  defaults = {
    of.name: of.default
    for of in inspect.signature(task.draw).parameters.values()
    if of.default is not of.empty
  }
  assert task.SIZES.keys() == {"cpu", "paper"}
  assert task.SIZES["cpu"] == defaults and task.SIZES["paper"].keys() <= defaults.keys()
  assert defaults["vocab_size"] <= 256 and defaults["length"] <= 64


@pytest.mark.parametrize(
  "name, change",
  [
    ("mqar", {"power": 0.01}),
    ("mqar", {"length": 24, "pairs": 8}),
    ("mqar_compositional", {"power": 0.01, "side": 3}),
    ("mqar_compositional", {"length": 45, "side": 3}),
    ("mqar_forgetting", {"power": 0.01, "updates": 8}),
    ("mqar_forgetting", {"length": 30, "pairs": 8, "updates": 3}),
    ("mqar_stacked", {"passes": 3, "power": 0.01}),
    ("mqar_stacked", {"length": 45, "pairs": 15, "passes": 2}),
    ("copy", {"length": 2, "vocab_size": 3}),
    ("selective_copy", {"length": 16, "symbols": 8}),
    ("sorting", {"length": 5, "vocab_size": 4}),
    ("induction", {"length": 3, "vocab_size": 4}),
    ("noisy_recall", {"noise": 0.0}),
    ("noisy_recall", {"noise": 0.9, "noise_vocab": 1}),
    ("noisy_recall", {"length": 3, "vocab_size": 4, "noise_vocab": 1}),
    ("fuzzy_recall", {"key_tokens": 1, "value_tokens": 5}),
    ("fuzzy_recall", {"length": 12}),
    (
      "fuzzy_recall",
      {"length": 5, "vocab_size": 3, "key_tokens": 1, "value_tokens": 1},
    ),
    ("fuzzy_recall", {"vocab_size": 64, "key_tokens": 12}),
    ("parity", {"length": 1}),
    ("word_problem", {"length": 1, "vocab_size": 64, "group": "a5"}),
    ("modular_arithmetic", {"brackets": True}),
    ("modular_arithmetic", {"brackets": True, "shortest": 29, "length": 30}),
    ("modular_arithmetic", {"modulus": 2, "shortest": 1}),
    ("modular_arithmetic", {"shortest": 1, "length": 2}),
    ("listops", {"depth": 1, "arguments": 2}),
    ("listops", {"shortest": 64, "arguments": 10, "depth": 10}),
    ("listops", {"length": 7}),
  ],
)
def test_every_option_keeps_the_answers_right(name, change):
  base, task = problems.get(name).SIZES["cpu"], problems.get(name)
  examples = check(name, 32, **base | change)
  options = base | {n: change[n] for n in ("length", "vocab_size") if n in change}
  if options != base | change and options["length"] == base["length"]:
    usual = task.draw(np.random.default_rng(0), 32, **options)
    assert (usual.tokens != examples.tokens).any()  # the option does something


def test_recall_asks_every_key_once_and_scales_with_the_length():
  sizes = dict(vocab_size=512, length=256)
  assert (drawn("mqar", 4, **sizes).weights.sum(1) == 32).all()
  assert (drawn("mqar", 4).weights.sum(1) == 8).all()
  assert (drawn("mqar_compositional", 4, **sizes).weights.sum(1) == 25).all()
  assert (drawn("mqar_forgetting", 4, **sizes).weights.sum(1) == 32).all()
  tokens, _, weights = drawn("mqar", 50)
  for row in range(50):
    asked = tokens[row][weights[row] == 1]
    assert sorted(asked) == sorted(tokens[row, 0:16:2])


def test_of_two_keys_neither_says_the_value():
  tokens = drawn("mqar_compositional", 50, length=128).tokens
  for row in tokens[:, : 3 * 16].reshape(50, 16, 3).tolist():
    assert len({(a, b) for a, b, _ in row}) == 16
    assert len({a for a, _, _ in row}) == len({b for _, b, _ in row}) == 4


def test_a_renewed_key_never_keeps_its_value():
  tokens = drawn("mqar_forgetting", 200, vocab_size=18).tokens
  for row in tokens[:, :24].reshape(200, 12, 2).tolist():
    first = dict(row[:8])
    assert len(first) == 8 and len({key for key, _ in row[8:]}) == 4
    assert all(value != first[key] for key, value in row[8:])


@pytest.mark.parametrize("power", [1.0, 0.3])
def test_gaps_follow_the_power_law(power):
  rows = 40_000
  places = parts.gaps(np.random.default_rng(0), rows, 20, 3, power)
  assert (np.diff(np.sort(places, axis=1), axis=1) > 0).all()
  law = np.arange(1, 21) ** (power - 1)
  law /= law.sum()
  found = np.bincount(places[:, 0], minlength=20) / rows
  np.testing.assert_allclose(found, law, atol=5 * np.sqrt(law.max() / rows))
  # The second is drawn by the same law among the others.
  second = np.bincount(places[places[:, 0] == 0, 1], minlength=20)
  rest = np.where(np.arange(20) > 0, law, 0) / law[1:].sum()
  np.testing.assert_allclose(second / second.sum(), rest, atol=0.05)


def test_a_few_of_many_are_different_and_equally_likely():
  of = parts.distinct(np.random.default_rng(0), 20_000, 32, 2)
  assert (of[:, 0] != of[:, 1]).all()
  for column in of.T:
    share = np.bincount(column, minlength=32) / 20_000
    np.testing.assert_allclose(share, 1 / 32, atol=0.007)


@pytest.mark.parametrize("brackets", [False, True])
def test_expressions_have_every_length_from_the_shortest(brackets):
  tokens = drawn("modular_arithmetic", 400, brackets=brackets, shortest=9).tokens
  lengths = set((tokens > 0).sum(1) - 1)
  assert lengths == set(range(9, 32, 4 if brackets else 2))


def test_lists_keep_to_their_size_depth_and_arguments():
  sizes = dict(length=200, shortest=150, depth=4, arguments=6)
  deepest = 0
  for row in drawn("listops", 50, **sizes).tokens:
    row = row[row > 0]
    assert 150 - 6 <= len(row) <= 200
    levels = np.cumsum((row > 10) & (row < 15)) - np.cumsum(row == 15)
    deepest = max(deepest, levels.max())
    arguments = [0]
    for token in row.tolist():
      if token == 15:
        assert 2 <= arguments.pop() <= 6
      else:
        arguments[-1] += 1
        if token > 10:
          arguments.append(0)
  assert deepest == 4


@pytest.mark.parametrize(
  "name, change, words",
  [
    ("mqar", {"pairs": 30}, "30 pairs need a length of 90"),
    ("mqar", {"pairs": 20, "vocab_size": 40}, "a vocabulary of 42, not 64 and 40"),
    ("mqar", {"pairs": -1}, "-1 pairs"),
    ("mqar_compositional", {"side": 4}, "4 by 4 keys needs a length of 80"),
    ("mqar_compositional", {"vocab_size": 8}, "a vocabulary of 9, not 64 and 8"),
    (
      "mqar_forgetting",
      {"updates": 9},
      "updates is 9: it must be .* at most 8",
    ),
    ("mqar_forgetting", {"pairs": 16, "updates": 9}, "need a length of 66"),
    ("mqar_forgetting", {"vocab_size": 3}, "a vocabulary of 4, not 64 and 3"),
    ("mqar_stacked", {"pairs": 16}, "a vocabulary of 289"),
    ("mqar_stacked", {"passes": 8}, "8 pairs in 8 passes need a length of 72"),
    ("mqar_stacked", {"passes": -1}, "in -1 passes"),
    ("selective_copy", {"symbols": 40}, "40 symbols need a length of 80"),
    ("copy", {"length": 1}, "a length of 2 and a vocabulary of 3, not 1 and 28"),
    ("sorting", {"vocab_size": 3}, "a vocabulary of 4, not 64 and 3"),
    ("induction", {"length": 2}, "a length of 3 and a vocabulary of 4, not 2 and 16"),
    ("noisy_recall", {"noise_vocab": 31}, "a vocabulary of 34, not 64 and 33"),
    ("noisy_recall", {"noise": 1.0}, r"noise is 1.0: it must be in \[0, 1\)"),
    ("fuzzy_recall", {"length": 11}, "a length of 12"),
    ("fuzzy_recall", {"value_tokens": 8}, "a vocabulary of 17"),
    ("parity", {"vocab_size": 2}, "a vocabulary of 3, not 32 and 2"),
    (
      "word_problem",
      {"vocab_size": 59, "group": "a5"},
      "a vocabulary of 60, not 32 and 59",
    ),
    ("word_problem", {"vocab_size": 60}, "a vocabulary of 120, not 32 and 60"),
    ("word_problem", {"group": "c5"}, "group is 'c5': one of s3, a4, s4, a5, s5"),
    ("modular_arithmetic", {"shortest": 32}, "a length of 34"),
    ("modular_arithmetic", {"modulus": 6}, "a vocabulary of 13"),
    ("listops", {"length": 6}, "a length of 7"),
    ("listops", {"vocab_size": 15}, "a vocabulary of 16, not 64 and 15"),
  ],
)
def test_what_does_not_fit_is_refused_with_numbers(name, change, words):
  with pytest.raises(UserError, match=words):
    drawn(name, 2, **change)


def test_an_unknown_task_is_named_with_the_nearest():
  with pytest.raises(KeyError, match="mqar"):
    problems.get("mqra")
