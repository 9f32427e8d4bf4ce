"""Contiguous lanes: a batch continues where the last one ended, from any step."""

import threading

import grain
import numpy as np
import pytest

from jaxmem import data

EOS = 256
SIZES = (37, 1, 120, 5, 64, 3, 88, 2, 51)  # 380 tokens with the EOS tokens


@pytest.fixture
def stream():
  """Documents whose every token is unique, so that a token says where it is from."""
  starts = np.cumsum([0] + [size + 1 for size in SIZES])
  return data.TokenStream(
    tokens=np.arange(starts[-1], dtype=np.uint16),
    starts=starts.astype(np.int64),
    names=tuple(f"d{i}" for i in range(len(SIZES))),
    num_bytes=int(starts[-1]) - len(SIZES),
    fingerprint="unique",
  )


def gather(lanes: data.Lanes, steps: range) -> dict[str, np.ndarray]:
  """Batches side by side: [b, len(steps) * T]."""
  batches = [lanes[step] for step in steps]
  return {
    key: np.concatenate([batch[key] for batch in batches], axis=1)
    for key in ("tokens", "targets", "reset", "weights")
  }


def assert_equal_batches(a, b):
  assert a.keys() == b.keys()
  for key in a:
    assert a[key].dtype == b[key].dtype
    np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_lanes_give_the_promised_shapes_and_dtypes(stream):
  batch = data.Lanes(stream, 4, 8, seed=0)[0]

  assert {key: (value.dtype.name, value.shape) for key, value in batch.items()} == {
    "tokens": ("int32", (4, 8)),
    "targets": ("int32", (4, 8)),
    "reset": ("bool", (4, 8)),
    "weights": ("float32", (4, 8)),
    "rows": ("int64", (4,)),
  }


@pytest.mark.parametrize(
  "batch_size, segment_length", [(1, 7), (3, 8), (4, 1), (2, 189)]
)
def test_lanes_continue_from_step_to_step(stream, batch_size, segment_length):
  lanes = data.Lanes(stream, batch_size, segment_length, seed=3)
  steps = lanes.steps_per_epoch

  for epoch in range(3):
    epoch_rows = gather(lanes, range(epoch * steps, (epoch + 1) * steps))
    # Targets are the next tokens, across steps too; only a share's last has none.
    tokens, weights = epoch_rows["tokens"], epoch_rows["weights"]
    np.testing.assert_array_equal(epoch_rows["targets"][:, :-1], tokens[:, 1:])
    assert (weights[:, :-1] == 1).all() and (weights[:, -1] == 0).all()
    # Within a lane tokens follow one another exactly, unless a document begins.
    follows = np.diff(epoch_rows["tokens"], axis=1) == 1
    assert (follows | epoch_rows["reset"][:, 1:]).all()
    # And a document ends only where it really does: the one before was complete.
    ends = epoch_rows["tokens"][:, :-1][epoch_rows["reset"][:, 1:]] + 1
    assert np.isin(ends, stream.starts).all()


def test_reset_stands_exactly_at_document_starts_and_share_starts(stream):
  lanes = data.Lanes(stream, 3, 8, seed=1)
  steps = lanes.steps_per_epoch

  for epoch in range(3):
    epoch_rows = gather(lanes, range(epoch * steps, (epoch + 1) * steps))
    expected = np.isin(epoch_rows["tokens"], stream.starts[:-1])
    expected[:, 0] = True
    np.testing.assert_array_equal(epoch_rows["reset"], expected)


def test_an_epoch_reads_every_token_once_but_a_rest_below_one_batch(stream):
  lanes = data.Lanes(stream, 4, 9, seed=0)
  steps, total = lanes.steps_per_epoch, len(stream.tokens)
  assert total - steps * 36 < 36

  rests, orders = set(), set()
  for epoch in range(4):
    tokens = gather(lanes, range(epoch * steps, (epoch + 1) * steps))["tokens"]
    assert len(np.unique(tokens)) == tokens.size == steps * 36
    rests.add(tuple(np.setdiff1d(np.arange(total), tokens)))
    orders.add(tuple(tokens.ravel()))

  assert len(orders) == 4 and len(rests) > 1


def test_rows_cover_an_epoch_exactly_at_any_process_count(stream):
  single = data.Lanes(stream, 4, 9, seed=0)
  steps = range(single.steps_per_epoch, 2 * single.steps_per_epoch)

  for count in (1, 2, 4):
    parts = [data.Lanes(stream, 4, 9, 0, index, count) for index in range(count)]
    rows = [part[step]["rows"] for step in steps for part in parts]
    expected = np.arange(steps.start * 4, steps.stop * 4)
    np.testing.assert_array_equal(np.concatenate(rows), expected)
    for step in steps:
      joined = {
        key: np.concatenate([part[step][key] for part in parts]) for key in single[step]
      }
      assert_equal_batches(joined, single[step])
    assert {part.fingerprint for part in parts} == {single.fingerprint}


def test_lanes_depend_on_seed_and_nothing_else(stream):
  lanes = data.Lanes(stream, 2, 16, seed=5)
  other = data.Lanes(stream, 2, 16, seed=6)

  assert_equal_batches(lanes[40], data.Lanes(stream, 2, 16, seed=5)[40])
  assert (lanes[40]["tokens"] != other[40]["tokens"]).any()
  assert lanes.fingerprint != other.fingerprint
  assert lanes.fingerprint != data.Lanes(stream, 2, 17, seed=5).fingerprint
  assert lanes.fingerprint != data.Lanes(stream, 4, 16, seed=5).fingerprint


@pytest.mark.parametrize("size", [1, 7, 120, 121, 999])
def test_document_length_cuts_at_the_same_places_everywhere(stream, size):
  """Every `size` tokens of a document, whoever reads it and wherever a share begins."""
  single = data.Lanes(stream, 4, 9, seed=0)
  steps = range(2 * single.steps_per_epoch)
  offset = stream.tokens - np.repeat(stream.starts[:-1], np.diff(stream.starts))

  for count in (1, 2):
    parts = [data.Lanes(stream, 4, 9, 0, i, count, size) for i in range(count)]
    for step in steps:
      batch, old = parts[0][step], single[step]
      if count > 1:
        other = parts[1][step]
        batch = {key: np.concatenate([batch[key], other[key]]) for key in batch}
      expected = old["reset"] | (offset[batch["tokens"]] % size == 0)
      assert_equal_batches(batch, old | {"reset": expected})
  assert parts[0].longest_document == min(size, 121) and single.longest_document == 121


def test_document_length_is_in_the_fingerprint_and_old_runs_keep_theirs(stream):
  def make(document_length=0):
    return data.Lanes(stream, 2, 16, 5, document_length=document_length).fingerprint

  plain = data.Lanes(stream, 2, 16, 5).fingerprint
  assert len({make(), make(8), make(9)}) == 3 and make() == plain
  assert make().startswith("0a4d777559f0bbf2")


def test_order_of_documents_is_pinned(stream):
  """Should this fail, resumed runs would read other data: raise the format number."""
  lanes = data.Lanes(stream, 1, 379, seed=0)

  opened = [lanes[step]["tokens"][lanes[step]["reset"]] for step in range(2)]

  documents = [np.searchsorted(stream.starts, tokens).tolist() for tokens in opened]
  assert documents == [[0, 8, 3, 7, 5, 1, 2, 6, 4], [3, 7, 4, 2, 8, 1, 6, 5, 0]]


@pytest.mark.parametrize("step", [0, 5, 11, 12, 1000, 2**40 - 8])
def test_batches_resume_at_any_step(stream, step):
  lanes = data.Lanes(stream, 4, 8, seed=2)

  with data.batches(lanes, start_step=step) as batches:
    for ahead in range(5):
      assert batches.step == step + ahead
      assert_equal_batches(next(batches), lanes[step + ahead])
    saved = batches.step
  with data.batches(lanes, start_step=saved, num_threads=0) as batches:
    assert_equal_batches(next(batches), lanes[saved])


def test_batches_pass_the_checkpoint_test_of_grain(stream):
  lanes = data.Lanes(stream, 4, 8, seed=2)
  options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=3)

  dataset = grain.MapDataset.source(lanes)[:25].to_iter_dataset(options)

  grain.experimental.assert_equal_output_after_checkpoint(dataset)


def test_batches_are_the_same_with_many_threads_and_tiny_epochs(stream):
  lanes = data.Lanes(stream, 10, 37, seed=2)
  assert lanes.steps_per_epoch == 1

  with data.batches(lanes, num_threads=8, prefetch=32) as batches:
    read = [next(batches) for _ in range(50)]

  for step, batch in enumerate(read):
    assert_equal_batches(batch, data.Lanes(stream, 10, 37, seed=2)[step])


def test_batches_close_their_threads(stream):
  before = set(threading.enumerate())
  batches = data.batches(data.Lanes(stream, 4, 8, seed=2))
  next(batches)
  readers = set(threading.enumerate()) - before
  assert readers

  batches.close()

  for reader in readers:
    reader.join(timeout=5)
    assert not reader.is_alive()
  batches.close()  # twice does no harm


def test_lanes_name_mistakes_with_their_remedy(stream):
  cases = {
    (4, 95, 0): "has 380 tokens, but batch_size 4 x .segment_length 95 . 1. needs 384: "
    "lower batch_size or segment_length",
    (0, 8, 0): "batch_size is 0: it must be at least 1",
    (4, -1, 0): "segment_length is -1",
    (4, 8, -1): "seed is -1: it must be at least 0",
    (4, 8, 0, 0, 0): "process_count is 0",
    (4, 8, 0, 2, 2): r"process_index is 2: .* below process_count \(2\)",
    (4, 8, 0, 0, 1, -1): "document_length is -1: it must be at least 0",
    (4, 8, 0, 0, 3): "batch_size 4 cannot be shared evenly by 3 processes",
  }

  for arguments, message in cases.items():
    with pytest.raises(data.DataError, match=message):
      data.Lanes(stream, *arguments)


def test_lanes_have_no_step_before_the_first_or_past_the_last(stream):
  lanes = data.Lanes(stream, 4, 8, seed=0)

  assert len(lanes) == 2**40
  for step in (-1, 2**40):
    with pytest.raises(IndexError, match="outside"):
      lanes[step]
    with pytest.raises(data.DataError, match=f"start_step is {step}"):
      data.batches(lanes, start_step=step)
