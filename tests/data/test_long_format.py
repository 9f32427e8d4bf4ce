"""Series of unequal length in long format, and gaps that a stated rule fills."""

import types

import numpy as np
import pytest

from jaxmem.core.errors import ConfigError, UserError
from jaxmem.data import DataError
from jaxmem.tasks.forecasting import data, gaps, panel, parts
from jaxmem.tasks.forecasting.metrics import ForecastErrors
from jaxmem.tasks.forecasting.predict import SeriesPredictor
from jaxmem.tasks.forecasting.task import SeriesConfig
from jaxmem.tasks.forecasting.windows import to_the_end, window_rows

T, H = 4, 2
LENGTHS = {"B": 30, "A": 50, "short": 7, "C": 41}


def day(i):
  return str(np.datetime64("2020-01-01") + i)


def written(path, rows, header="unique_id,ds,y"):
  path.write_text("\n".join([header, *rows]) + "\n")
  return path


@pytest.fixture
def table(tmp_path):
  """Series that stand mixed, and one that never changes."""
  draw = np.random.default_rng(0)
  rows = [
    (i, f"{name},{day(i + 3 * len(name))},{draw.normal():.6f}")
    for name, length in LENGTHS.items()
    for i in range(length)
  ]
  rows += [(i, f"flat,{day(i)},5") for i in range(40)]
  return written(tmp_path / "long.csv", [row for _, row in sorted(rows)])


def split(table, shares="0.6,0.2,0.2"):
  config = SeriesConfig(source=str(table), rows=shares, series="unique_id")
  series = panel.read(table, "unique_id")
  return series, parts.split(series, config.parts, (T, H), 3, str(table))


def test_each_series_has_its_own_rows(table):
  series = panel.read(table, "unique_id")
  sizes = dict(zip(series.ids, map(len, series.values), strict=True))
  assert sizes == LENGTHS | {"flat": 40} and series.names == ("y",)
  assert series.notes[0] == "column 'unique_id' names 5 series of 7 to 50 rows"


def test_long_format_without_a_series_is_refused_with_the_flag(table):
  with pytest.raises(DataError, match="long format.*|lies before"):
    panel.read(table)
  rows = [f"{name},{day(i)},{i}" for name in "AB" for i in range(3)]
  path = written(table.with_name("blocks.csv"), rows)
  with pytest.raises(DataError, match="Set task.series unique_id to read each"):
    panel.read(path)


def test_every_series_is_split_and_standardised_by_itself(table):
  _, found = split(table)
  assert sorted(found.ids) == ["A", "B", "C"]
  assert found.notes == (
    "1 series are left out: too short",
    "1 series are left out: constant in training",
  )
  lengths = np.array([LENGTHS[name] for name in found.ids])
  train = found.splits["train"]
  assert train.lengths.tolist() == np.floor(lengths * 0.6).astype(int).tolist()
  for one in np.split(train.values, np.cumsum(train.lengths)[:-1]):
    np.testing.assert_allclose([one.mean(), one.std()], [0, 1], atol=1e-9)


def test_no_window_holds_rows_of_two_series(table):
  _, found = split(table)
  for part in found.splits.values():
    starts = part.starts(T + H)
    assert len(starts) == (part.lengths - T - H + 1).sum()
    np.testing.assert_array_equal(part.series(starts), part.series(starts + T + H - 1))
    late = part.starts(T + 1)
    which = part.series(late)
    _, future, known = to_the_end(part.raw, late, (T, H), part.ends(which))
    assert set(known) == {1, 2} and (part.series(late + T + known - 1) == which).all()
    assert (future[known == 1][:, 0] == future[known == 1][:, 1]).all()  # repeated


def test_an_epoch_reads_the_windows_of_all_series_once(table):
  _, found = split(table)
  train = found.splits["train"]
  rows = window_rows(train.values, (T, H), 5, 0, lengths=train.lengths)
  starts = train.starts(T + H)
  read = np.concatenate([rows[i]["history"] for i in range(-(-len(starts) // 5))])
  expected = {train.values[s : s + T].astype(np.float32).tobytes() for s in starts}
  assert {window.tobytes() for window in read[: len(starts)]} == expected


def test_one_series_reads_what_a_wide_table_reads():
  values = np.random.default_rng(0).normal(size=(40, 2))
  wide = window_rows(values, (T, H), 8, 0)
  one = window_rows(values, (T, H), 8, 0, lengths=[40])
  two = window_rows(values, (T, H), 8, 0, lengths=[20, 20])
  assert wide.fingerprint == one.fingerprint != two.fingerprint


def test_every_series_counts_the_same_in_the_errors(table):
  _, found = split(table)
  part = found.splits["test"]
  errors = ForecastErrors((1, H), found.units)
  by_series = {}
  for starts, real in part.batches(T + 1, 7):
    which = part.series(starts)
    seen, future, known = to_the_end(part.raw, starts, (T, H), part.ends(which))
    guess = seen[:, -1:].repeat(H, 1)
    errors.add("model", guess[:real], future[:real], known[:real], which[:real])
    for i in range(real):
      error = np.abs(guess - future)[i, 0, 0]
      by_series.setdefault(int(which[i]), []).append(error)
  naive = found.units.naive[:, 0]
  expected = np.mean([np.mean(by_series[s]) / naive[s] for s in by_series])
  assert errors.at()["model"]["1"]["mase"] == pytest.approx(expected)
  assert errors.windows["1"] == len(part.starts(T + 1))
  assert "Every one of 3 series counts the same" in errors.explained(["y"])[1]


def test_counts_and_misnamed_columns_are_refused(table, tmp_path):
  with pytest.raises(ConfigError, match="counts, and the series .* give fractions"):
    SeriesConfig(series="unique_id").parts(100)
  with pytest.raises(DataError, match="no column 'id', only unique_id, ds, y: change"):
    panel.read(table, "id")
  path = written(tmp_path / "a.csv", [f"A,{day(0)},1", f" ,{day(0)},1"])
  with pytest.raises(DataError, match="row 3, column 'unique_id' is empty"):
    panel.read(path, "unique_id")
  with pytest.raises(DataError, match="none of 5 series can be used, 5 have no window"):
    split(table, "0.9,0.05,0.01")


def test_bad_rows_are_named_by_their_row_of_the_file(tmp_path):
  rows = [f"A,{day(0)},1", f"B,{day(0)},1", f"A,{day(1)},x", f"B,{day(1)},1"]
  with pytest.raises(DataError, match="row 4, column 'y' is 'x'"):
    panel.read(written(tmp_path / "a.csv", rows), "unique_id")
  rows = [f"A,{day(1)},1", f"B,{day(0)},1", f"A,{day(0)},2"]
  with pytest.raises(DataError, match="row 4: '2020-01-01' lies before"):
    panel.read(written(tmp_path / "a.csv", rows), "unique_id")


# --- gaps

FILLED = {
  "forward": [1, 2, 2, 2, 5, 5, 7],
  "linear": [1, 2, 3, 4, 5, 6, 7],
  "zero": [1, 2, 0, 0, 5, 0, 7],
}


@pytest.mark.parametrize("rule", FILLED)
@pytest.mark.parametrize("is_long", [False, True])
def test_missing_rows_and_cells_are_filled_by_the_rule(tmp_path, rule, is_long):
  cells = {0: "1", 1: "2", 4: "5", 5: "", 6: "7"}  # days 2 and 3 are missing
  first = "A," * is_long
  rows = [f"{first}{day(i)},{cell}" for i, cell in cells.items()]
  header = "unique_id,ds,y" if is_long else "ds,y"
  path = written(tmp_path / "a.csv", rows, header)

  table = panel.read(path, "unique_id" * is_long, gaps=rule)

  assert table.values[0][:, 0].tolist() == FILLED[rule]
  assert f"missing rows and cells are filled ({rule}) in 3 rows" in table.notes


def test_the_default_refuses_gaps_and_names_the_rules(tmp_path):
  rows = [f"{day(i)},{i}" for i in (0, 1, 2, 4)]
  path = written(tmp_path / "a.csv", rows, "ds,y")
  with pytest.raises(DataError, match="row 5, a gap.*or forward, linear or zero"):
    data.read(path)
  kept = data.read(path, gaps="keep")
  assert kept.values[:, 0].tolist() == [0, 1, 2, 4] and kept.filled == 0


def test_months_are_filled_by_the_calendar(tmp_path):
  months = ["2020-01-31", "2020-02-29", "2020-03-31", "2020-05-31", "2020-06-30"]
  rows = [f"{month},{i}" for i, month in enumerate(months)]
  found = data.read(written(tmp_path / "a.csv", rows, "ds,y"), gaps="forward")
  assert found.values[:, 0].tolist() == [0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
  "rows, says",
  [
    ([f"{day(i)},{c}" for i, c in enumerate(["", 1, 2])], "its first number is in row"),
    ([f"{day(i)},{c}" for i, c in enumerate([1, 2, ""])], "no number follows"),
    ([f"{day(i)},1" for i in (0, 1, 2, 900)], "cannot be filled, they are too many"),
    (
      ["2020-01-01 00:00,1", "2020-01-01 02:00,1", "2020-01-01 04:00,1"]
      + ["2020-01-01 05:00,2"],
      "a row is beside the usual step",
    ),
  ],
)
def test_what_no_rule_fills_is_refused(tmp_path, rows, says):
  with pytest.raises(DataError, match=says):
    data.read(written(tmp_path / "a.csv", rows, "ds,y"), gaps="linear")


def test_a_rule_fills_each_column_by_itself():
  values = np.array([[1, 4], [np.nan, 5], [3, np.nan], [4, 7.0]])
  assert gaps.fill(values, "linear").T.tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]]


# --- answers


def test_a_record_names_its_series():
  predictor = SeriesPredictor.__new__(SeriesPredictor)
  predictor._names, predictor._length, predictor._params = ["y"], 2, {}
  predictor._column, predictor._ids = "unique_id", {"A": 0, "7": 1}
  predictor._mean, predictor._std = np.array([[0.0], [10.0]]), np.array([[1.0], [2.0]])
  predictor._forecast = lambda params, history: history[..., None]
  head = types.SimpleNamespace(head="point")
  predictor._model = types.SimpleNamespace(middle=lambda f: f[..., 0], config=head)
  records = [{"unique_id": name, "series": [[3], [4]]} for name in ("A", 7)]

  for record in records:
    predictor.check(record)
  assert [a["forecast"] for a in predictor(records)] == [[[3.0], [4.0]]] * 2
  with pytest.raises(UserError, match="\"unique_id\" is 'B': one of the 2 series"):
    predictor.check({"unique_id": "B", "series": [[3], [4]]})
