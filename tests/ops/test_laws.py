"""Every memory obeys the laws; they are found by file name, none is listed here."""

import functools
import subprocess
import sys

import jax
import pytest

from jaxmem import mixers, ops
from jaxmem.models.block import ResidualBlock
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.testing import check_laws, example_of


def _hybrid(names):
  """One pattern with a memory of every family, each small: the last of `names`."""
  families = {mixers.get(name).Mixer.family: name for name in names}
  return tuple(entry(name, **example_of(name)) for name in families.values())


CARRYING = mixers.carrying()
# One memory of every family; in the full run another one, in the other order.
HYBRIDS = [
  pytest.param(_hybrid(CARRYING), id="last"),
  pytest.param(_hybrid(CARRYING[::-1]), id="first", marks=pytest.mark.full),
]


@pytest.mark.parametrize("name", ops.names())
def test_op_obeys_the_laws(name):
  _rows(name)


@functools.cache
def _rows(name):
  return check_laws(ops.get(name))


@pytest.mark.parametrize("name", mixers.names())
def test_mixer_obeys_the_laws(name):
  """In the form that users get, which equals the reference; the op obeys them in all,
  and so does the mixer in the full run."""
  mixer = mixers.get(name).Mixer(d_model=8, **example_of(name))
  check_laws(mixer, forms=(mixer.form,))


OPTIONS = {  # of mixers as released models have them
  "attention": {"rotary_dim": 2},
  "window": {"rotary_dim": 2},
  "mamba": {"use_bias": True, "conv_bias": False, "read_norm": True},
  "mamba2": {"use_bias": True, "shortest_step": 0.5, "longest_step": 0.9},
  "rglru": {"use_bias": True, "first_unscaled": True},
  "gated_delta": {"num_heads": 4, "num_key_heads": 2},
  "gated_delta_product": {"num_heads": 4, "num_key_heads": 2},
  "kda": {"num_heads": 4, "num_key_heads": 2, "gate_bias": True},
  "retention": {"norm": "rms"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_mixer_of_a_released_model_obeys_the_laws(name):
  mixer = mixers.get(name).Mixer(d_model=8, **example_of(name) | OPTIONS[name])
  check_laws(mixer, forms=(mixer.form,))


def test_block_obeys_the_laws():
  check_laws(ResidualBlock(entry("rglru", num_heads=2), d_model=8, d_ff=16))


@pytest.mark.parametrize("pattern", HYBRIDS)
def test_hybrid_model_obeys_the_laws(pattern):
  config = LMConfig(11, d_model=16, d_ff=32, pattern=pattern, num_groups=2, tied=False)

  def draw(key, rows, length):
    return jax.random.randint(key, (rows, length), 0, 11)

  check_laws(LM(config), inputs=draw, deep=True)


@pytest.mark.full
@pytest.mark.parametrize("name", ops.names())
def test_op_obeys_the_full_laws(name):
  check_laws(ops.get(name), full=True)


@pytest.mark.full
@pytest.mark.parametrize("name", mixers.names())
def test_mixer_obeys_the_full_laws_in_every_form(name):
  mixer = mixers.get(name).Mixer(d_model=8, **example_of(name))
  for form in mixers.op(name).FORMS:
    check_laws(mixer.clone(form=form), full=True)


def test_ops_know_no_flax():
  """Law 11 holds."""
  code = (
    "import sys; from jaxmem import ops; ops.names(); assert 'flax' not in sys.modules"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


def test_check_laws_reports_every_law_and_form():
  rows = _rows("short_conv")
  assert {law for law, _, _ in rows} == {1, 2, 3, 4, 5, 6, 8, 9}
  assert {form for _, form, _ in rows} == {"recurrent", "parallel"}
  assert all(0 <= error <= 1 for _, _, error in rows)
