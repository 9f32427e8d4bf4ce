"""Types and ranges of a memory's options are checked where a pattern is read."""

from pathlib import Path

import pytest

from jaxmem import bench
from jaxmem.core import outputs
from jaxmem.core.errors import UserError
from jaxmem.evaluation import visibility
from jaxmem.generation import session
from jaxmem.models.pattern import (
  PatternError,
  block,
  built,
  check_language,
  edit,
  entry,
  parse,
  set_options,
  show,
  walk,
)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("window:window_size=nan", "window_size of window is 'nan': a whole number"),
    ("window:window_size=1.5", "window_size of window is 1.5: a whole number"),
    ("window:window_size=True", "window_size of window is True: a whole number"),
    ("window:window_size=2147483648", "2147483648: it must be at most 2147483647"),
    ("window:rotary_base=True", "is True: a number or None expected"),
    ("window:rotary_base=1e400", "rotary_base of window is inf: it must be finite"),
    ("window:gate=1", "gate of window is 1: True or False expected"),
    ("gru:form=3", "form of gru is 3: a word expected"),
    ("gru+gru:form=3", "form of gru is 3: a word expected"),
    ("gru:beside=[1]", "beside of gru is .1,.: a word or an entry expected"),
    ("longformer:dilation=(1,[2])", "a whole number or a tuple of whole numbers"),
    ("window:window_size=1:window_size=2", "'window_size' is given twice"),
    ("gru:name=x", "has no option 'name'"),
  ],
)
def test_options_of_another_type(text, message):
  with pytest.raises(PatternError, match=message) as raised:
    built(parse(text)[0], 16, "float32")
  assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
  "text",
  [
    "window:rotary_base=-1.0", "window:logit_cap=0.0", "retention:rotary_base=0",
    "gla:temperature=0.0", "mlstm:gate_cap=-1", "lru:max_decay=1",
    "lru:min_decay=0.9999",
    "s5:min_step=0", "s5:min_step=1", "longformer:dilation=()",
  ],
)  # fmt: skip
def test_numbers_out_of_range(text):
  option = text.split(":")[1].split("=")[0]
  with pytest.raises(
    PatternError, match=rf"{option} (is .*: (it|a whole number)|\([\d.]+\))"
  ):
    built(parse(text)[0], 16, "float32")


@pytest.mark.parametrize("value", ["-1", "1.5", "'a'", "True", "2**70", "nan"])
def test_numbers_of_masks(value):
  with pytest.raises(UserError, match="size of the mask is .*: a whole number in 0"):
    visibility.parse(f"window({value})")


def test_masks_that_cannot_be_read():
  with pytest.raises(UserError, match="nested too deeply"):
    visibility.parse(" & ".join(["causal"] * 3000))
  with pytest.raises(UserError, match="is how it is written"):
    visibility.parse("window(size=3, zz=4)")


@pytest.mark.parametrize("names", ["", ","])
def test_a_benchmark_of_nothing(names):
  with pytest.raises(KeyError, match="names no op"):
    bench.selected(names)


def test_a_new_file_among_checkpoints(tmp_path):
  (tmp_path / "checkpoints" / "4").mkdir(parents=True)
  with pytest.raises(UserError, match="would overwrite --workdir"):
    outputs.refuse_overwrite(
      tmp_path / "checkpoints" / "4" / "new", {"--workdir": tmp_path}
    )


@pytest.mark.parametrize(
  ("text", "canonical"),
  [
    ("rglru, window:window_size = 5", "rglru,window:window_size=5"),
    ("longformer:dilation=(1,2),gru/none", "longformer:dilation=(1, 2),gru/none"),
    ("sum( window , bidirectional(gru) )", "sum(window,bidirectional(gru))"),
    # the older forms
    ("window:window_size=6+gru+lru", "sum(window:window_size=6,sum(gru,lru))"),
    ("window:rotary_base=1e+20+gru", "sum(window:rotary_base=1e+20,gru)"),
    ("gru:beside=lru", "sum(gru,lru)"),
    ("gru:both_ways=False:learned_start=False", "gru"),
    (
      "gru:both_ways=True:learned_start=True:form=chunk+lru",
      "sum(bidirectional(learned_init(gru:form=chunk)),lru)",
    ),
  ],
)
def test_every_form_is_read_and_one_is_written(text, canonical):
  pattern = parse(text)
  assert show(pattern) == canonical
  assert parse(canonical) == pattern and hash(pattern)


def test_entries_in_python_are_those_of_the_text():
  pattern = (entry("sum", "gru", entry("learned_init", "lstm")), block("lru"))
  assert pattern == parse("sum(gru,learned_init(lstm)),lru/none")
  assert [item.name for item in walk(pattern)] == ["gru", "lstm", "lru"]
  chunked = edit(pattern, lambda item: set_options(item, form="recurrent"))
  assert [dict(item.options) for item in walk(chunked)] == [{"form": "recurrent"}] * 3
  assert [item.name for item in walk(chunked)] == ["gru", "lstm", "lru"]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("bidirectinal(gru)", "no memory 'bidirectinal': did you mean 'bidirectional'"),
    ("sum(gru,lru,rnn)", r"sum takes 2 parts \(base, memory\), and 3 are given"),
    ("bidirectional()", r"takes 1 part \(mixer\), and 0 are given"),
    (
      "bidirectional(gru,zz=3)",
      "'bidirectional' has no option 'zz': it has none",
    ),
    ("gru(lstm)", "gru is no wrapper: 'lstm' cannot be its part"),
    ("gru/lstm", "no MLP 'lstm'"),
    ("grru/none", "no memory 'grru': did you mean 'gru'"),
    ("gru:both_ways=3", "both_ways of gru is 3: True or False expected"),
    ("sum(" * 2000 + ")" * 2000, "nested too deeply"),
  ],
)
def test_a_syntax_error_is_named(text, message):
  with pytest.raises(PatternError, match=message):
    parse(text)


def test_what_reads_both_ways_is_named_within_wrappers():
  with pytest.raises(PatternError, match="^'bidirectional.gru.' reads both ways"):
    check_language(parse("lstm,sum(window,bidirectional(gru))"))


def test_a_session_saved_with_an_older_form_is_that_of_its_model():
  current = {"model.pattern": "sum(window,gru)"}
  session._compare(Path("state"), {"model.pattern": "window+gru"}, current)
  for other in ("window", "window+"):
    with pytest.raises(session.SessionError, match="was saved with model.pattern"):
      session._compare(Path("state"), {"model.pattern": other}, current)
