"""Law 10, old checkpoints, and what is never read from one."""

import tarfile
from pathlib import Path

import pytest

from jaxmem import mixers
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.runtime.checkpoint import CheckpointError
from jaxmem.testing import check_saved, example_of
from jaxmem.training.load import load_model
from support import runs

GOLDEN = Path(__file__).parent / "golden" / "run_of_format_1.tar.gz"
DIGEST = "4e4b0ea493b7ae0a705a4f3219142034406da7a284ebaf71d1ffcd1b517480fe"


@pytest.mark.parametrize("name", mixers.names())
def test_saved_is_kept(name, tmp_path):
  """Checks law 10: the state of every memory, through a checkpoint."""
  check_saved(mixers.get(name).Mixer(d_model=8, **example_of(name)), tmp_path)


@pytest.fixture
def old_run(tmp_path):
  with tarfile.open(GOLDEN) as archive:
    # Python before 3.11.4 has no filters; the archive is our own
    filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    archive.extractall(tmp_path / "run", **filters)
  return tmp_path / "run"


def _old_config(root):
  model = LMConfig(
    vocab_size=0,
    d_model=8,
    d_ff=16,
    pattern=(entry("rglru", num_heads=2),),
    dtype="auto",
  )
  corpus = runs.write_corpus(root / "corpus")
  return runs.config(corpus, model=model, steps=4, eval_bytes=0, sample_bytes=0)


def test_checkpoint_of_the_first_format_is_restored_bit_for_bit(old_run, tmp_path):
  restored = runs.restored(_old_config(tmp_path), old_run)

  assert restored.step == 4 and not restored.set_aside
  assert runs.digest(restored.state) == DIGEST
  loaded = load_model(old_run)
  assert loaded.step == 4 and loaded.config.segment_start == "carried"


def test_first_format_is_refused_where_it_means_other_keys(old_run, tmp_path):
  """A window kept its keys before their rotation: continuing would be wrong."""
  path = old_run / "checkpoints" / "4" / "integrity" / "metadata"
  path.write_text(path.read_text().replace(".h", ".position"))

  with pytest.raises(CheckpointError, match="format 1, whose windows hold other keys"):
    runs.restored(_old_config(tmp_path), old_run)


def test_checkpoint_of_a_later_format_is_refused(old_run, tmp_path):
  path = old_run / "checkpoints" / "4" / "integrity" / "metadata"
  path.write_text(path.read_text().replace('"format": 1', '"format": 99'))

  with pytest.raises(CheckpointError, match="format 99.*reads up to.*install a newer"):
    runs.restored(_old_config(tmp_path), old_run)
