"""Forecasting: bad cells, splits that do not mix, errors over all windows."""

import dataclasses
import gzip
import json

import jax
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import ConfigError, UserError
from jaxmem.data import DataError
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.mesh import MeshError
from jaxmem.tasks.forecasting import data as series
from jaxmem.tasks.forecasting import standard
from jaxmem.tasks.forecasting import task as series_jobs
from jaxmem.tasks.forecasting.predict import interval
from jaxmem.tasks.forecasting.task import SeriesConfig, SeriesPredictor
from jaxmem.tasks.forecasting.windows import window_rows
from jaxmem.training import run_task
from jaxmem.training.config import (
  Config,
  MeshConfig,
  OptimConfig,
  ValidationConfig,
  from_json,
  to_json,
)
from jaxmem.training.load import load_run
from jaxmem.training.step import Program, resolve
from jaxmem.training.trainer import train

T, H = 8, 4
RNG = np.random.default_rng(0)
TABLE = np.stack([np.sin(np.arange(120) / 3), RNG.normal(size=120)], 1) * [3, 9] + 40


def written(path, values=TABLE, header="date,a,b"):
  """Writes a table with a column of labels; returns its path."""
  rows = [f"day {i}," + ",".join(map(str, row)) for i, row in enumerate(values)]
  path.write_text("\n".join([header, *rows]) + "\n")
  return path


def config(path, **changes):
  """Returns a config of four steps; "model" and "data" change its parts."""
  data = SeriesConfig(
    source=str(path), rows="60,30,30", segment_length=T, batch_size=8, season=3
  )
  model = ForecasterConfig(horizon=H, patch=4, d_model=8, pattern=(entry("gru"),))
  return Config(
    model=dataclasses.replace(model, **changes.pop("model", {})),
    task=dataclasses.replace(data, **changes.pop("data", {})),
    optim=OptimConfig(warmup_steps=1),
    validation=ValidationConfig(every=2),
    steps=4,
    save_every=2,
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  root = tmp_path_factory.mktemp("series")
  path = written(root / "table.csv")
  assert train(config(path), root / "run") == 0
  return root / "run"


def test_a_table_is_read_plain_or_gzipped(tmp_path):
  path = written(tmp_path / "t.csv")
  packed = tmp_path / "t.csv.gz"
  packed.write_bytes(gzip.compress(path.read_bytes()))
  for table in (series.read(path), series.read(packed)):
    np.testing.assert_allclose(table.values, TABLE)
    assert table.names == ("a", "b")
  assert series.read(path, "b").names == ("b",)


@pytest.mark.parametrize(
  "text, says",
  [
    ("date,a\n1 May,nan\n", "row 2, column 'a' is 'nan': a finite number"),
    ("date,a\n1 May,\n", "row 2, column 'a' is ''"),
    ("date,a\n1 May,2,3\n", "row 2 has 3 cells"),
    ("date,a\n", "no rows"),
    ("", "is empty"),
  ],
)
def test_a_cell_without_a_number_is_reported_with_row_and_column(text, says, tmp_path):
  (tmp_path / "t.csv").write_text(text)
  with pytest.raises(DataError, match=says):
    series.read(tmp_path / "t.csv")


def test_a_file_that_is_no_table_is_refused(tmp_path):
  (tmp_path / "t.csv").write_bytes(b"a,b\n\xff,1\n")
  with pytest.raises(DataError, match="not UTF-8"):
    series.read(tmp_path / "t.csv")
  with pytest.raises(DataError, match="no file .*ETDataset"):
    series.read(tmp_path / "none.csv")
  with pytest.raises(DataError, match="no column 'c', only date, a, b"):
    series.read(written(tmp_path / "u.csv"), "c")


def test_an_epoch_reads_every_window_once():
  windows = window_rows(TABLE, (T, H), batch_size=7, seed=0)
  count = windows.epochs.count
  assert count == 120 - T - H + 1
  steps = count  # of 7 rows: seven epochs, whose borders lie inside steps
  starts = [one for step in range(steps) for one in windows[step]["history"][:, 0, 1]]
  expected = sorted(TABLE[:count, 1].astype(np.float32).tolist() * 7)
  assert sorted(float(s) for s in starts) == expected
  batch = windows[3]
  np.testing.assert_array_equal(batch["history"], windows[3]["history"])
  parts = [window_rows(TABLE, (T, H), 8, 0, (i, 2))[5]["rows"] for i in range(2)]
  # two processes read together what one would
  alone = window_rows(TABLE, (T, H), 8, 0)[5]["rows"]
  np.testing.assert_array_equal(np.concatenate(parts), alone)


def test_the_errors_are_those_of_every_window_counted_by_hand(run):
  """The last windows do not fill a batch, and count like all others."""
  report = json.loads((run / "report.json").read_text())
  values = (TABLE - TABLE[:60].mean(0)) / TABLE[:60].std(0)
  starts = range(90, 120 - H + 1)
  assert report["windows"] == len(starts)
  naive = [values[s : s + H] - values[s - 1] for s in starts]
  season = [values[s : s + H] - values[s - 3 + np.arange(H) % 3] for s in starts]
  for name, miss in (("naive", naive), ("seasonal naive", season)):
    errors = report["errors"][name][str(H)]
    assert errors["mse"] == pytest.approx(np.mean(np.square(miss)), rel=1e-5)
    assert errors["mae"] == pytest.approx(np.mean(np.abs(miss)), rel=1e-5)


def test_the_held_out_score_is_the_loss_over_all_its_windows(run):
  loaded = load_run(run)
  task = run_task.make(loaded.config, loaded.model)
  model = task.evaluate(loaded.params, "heldout").numbers["errors"]["model"][str(H)]
  assert task.validation_metric(loaded.params) == pytest.approx(model["mse"], rel=1e-5)


def test_a_run_that_ends_before_its_first_score_reports_its_last_state(
  tmp_path, capsys
):
  run_config = config(written(tmp_path / "t.csv"))
  run_config = dataclasses.replace(
    run_config, validation=ValidationConfig(every=100), steps=2
  )
  assert train(run_config, tmp_path / "run") == 0
  assert "| seasonal naive |" in capsys.readouterr().out


def test_a_run_is_scored_and_answers_records_from_its_checkpoint(run, tmp_path, capsys):
  assert cli.run(["eval", "--workdir", str(run), "--split", "test"]) == 0
  assert "| seasonal naive |" in capsys.readouterr().out
  assert (run / "forecast.png").stat().st_size > 1000
  good = {"series": TABLE[:20].tolist()}
  bad = [{"series": TABLE[:5].tolist()}, {"series": [[1.0, None]] * 8}, {}]
  lines = "\n".join(json.dumps(one) for one in [*bad, good])
  (tmp_path / "in.jsonl").write_text(lines)
  arguments = ["--input", str(tmp_path / "in.jsonl"), "--rows", "4"]
  assert cli.run(["predict", "--workdir", str(run), *arguments]) == 2
  out, err = capsys.readouterr()
  assert "5 rows, 8 are needed" in err and "row 0, b: no finite number" in err
  forecast = np.array(json.loads(out.splitlines()[-1])["forecast"])
  assert forecast.shape == (H, 2) and 20 < forecast.mean() < 60


def test_a_distribution_is_answered_with_its_interval(tmp_path):
  path = written(tmp_path / "t.csv")
  resolved = resolve(config(path, model={"head": "student"}))
  model = Forecaster(resolved.model)
  task = run_task.make(resolved, model)
  task.save_assets(tmp_path)
  example = model.example(1, T)
  params = model.init(jax.random.key(0), example, (), method="objective")["params"]
  (answer,) = SeriesPredictor(resolved.task, model, params, tmp_path)(
    [{"series": TABLE[:T].tolist()}]
  )
  low, middle, high = (np.array(answer[k]) for k in ("low", "forecast", "high"))
  assert (low < middle).all() and (middle < high).all()
  gaussian = ForecasterConfig(head="gaussian")
  low, high = interval(gaussian, np.zeros((1, 1, 1, 2)))
  np.testing.assert_allclose([low.item(), high.item()], [-1.28155, 1.28155], rtol=1e-4)


def test_the_config_is_saved_with_its_kinds(tmp_path):
  original = config(tmp_path / "t.csv")
  assert from_json(to_json(original)) == original
  assert json.loads(to_json(original))["model"]["kind"] == "forecaster"


@pytest.mark.parametrize(
  "changes, says",
  [
    ({"data": {"rows": "60,30"}}, "three numbers"),
    ({"data": {"rows": "60,30,300"}}, "has 120 rows and task.rows names 390"),
    ({"data": {"segment_length": 10}}, "does not divide into patches"),
    ({"data": {"rows": "60,2,30"}}, "the heldout part has 10 rows"),
    ({"data": {"season": 0}}, "season is 0"),
    ({"data": {"segment_length": 0}}, "segment_length is 0"),
    ({"data": {"rows": "0.7,0.2,0.2"}}, "sum to 1.1"),
    ({"data": {"rows": "0.7,10,20"}}, "sum to 30.7"),
    ({"data": {"rows": "0.7,0.1,-0.2"}}, "three numbers above 0"),
    ({"data": {"rows": "６０,30,30"}}, "three numbers above 0"),
    ({"data": {"rows": "60,nan,30"}}, "three numbers above 0"),
    ({"data": {"rows": "0.98,0.01,0.01"}}, "the heldout part has 10 rows"),
    ({"model": {"head": "quantile", "quantiles": "2"}}, "quantiles.* '2'"),
    ({"model": {"horizon": 0}}, "at least 1"),
  ],
)
def test_a_config_that_does_not_fit_the_table_is_refused_before_device_work(
  changes, says, tmp_path
):
  path = written(tmp_path / "t.csv")
  with pytest.raises(UserError, match=says):
    resolved = resolve(config(path, **changes))
    run_task.make(resolved, Forecaster(resolved.model))


def test_options_of_memory_are_refused_for_a_model_without_memory(tmp_path):
  resolved = resolve(config(written(tmp_path / "t.csv")))
  passed = dataclasses.replace(resolved, segment_start="passed")
  with pytest.raises(ConfigError, match="carries no memory"):
    Program(passed, meshes.make(MeshConfig(), jax.devices()[:1]))
  with pytest.raises(MeshError, match="only a language model cuts time"):
    Program(resolved, meshes.make(MeshConfig(seq=2), jax.devices()[:2]))


def test_a_run_without_scores_still_ends(tmp_path):
  run_config = config(written(tmp_path / "t.csv"))
  run_config = dataclasses.replace(
    run_config, validation=ValidationConfig(), steps=2, eval_bytes=0
  )
  assert train(run_config, tmp_path / "run") == 0
  assert (tmp_path / "run" / "loss.png").exists()
  assert not (tmp_path / "run" / "report.json").exists()


def test_a_column_that_never_changes_is_refused(tmp_path):
  path = written(tmp_path / "t.csv", TABLE * [1, 0])
  resolved = resolve(config(path))
  with pytest.raises(DataError, match="column 'b' .* never changes"):
    run_task.make(resolved, Forecaster(resolved.model))


@pytest.mark.parametrize("constant", [0.1, 1e-30, 1e30, 0.0, 123456.789])
def test_a_column_constant_up_to_rounding_is_refused(constant):
  rows = np.stack([TABLE[:60, 0], np.full(60, constant)], 1)
  rows[::7, 1] = np.nextafter(constant, np.inf) if constant else 0
  with pytest.raises(DataError, match="column 'b' of t.csv never changes"):
    standard.fit(rows, ("a", "b"), "t.csv")


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1.0, 1e30, 1e306])
def test_columns_are_standardised_at_any_magnitude(size):
  scale = standard.fit(TABLE * size, ("a", "b"), "t.csv")
  np.testing.assert_allclose(scale.std, TABLE.std(0) * size, rtol=1e-12)
  if size == 1:  # runs of older versions have this scale
    np.testing.assert_array_equal(scale, (TABLE.mean(0), TABLE.std(0)))
  values = scale.apply(TABLE * size)
  np.testing.assert_allclose(values.std(0), 1, rtol=1e-12)
  np.testing.assert_allclose(scale.back(values), TABLE * size, rtol=1e-12)


def test_values_too_far_for_float32_are_reported_with_their_column(tmp_path):
  values = TABLE.copy()
  values[100, 1] = 1e30
  resolved = resolve(config(written(tmp_path / "t.csv", values)))
  with pytest.raises(DataError, match="column 'b' of .*, row 101 of the data"):
    run_task.make(resolved, Forecaster(resolved.model))


BAD_SERIES = {
  "1e300": ([[1e300, 0]] * 8, "row 0, a: 1e[+]300 lies farther"),
  "true": ([[True, 0]] * 8, "row 0, a: no finite number but True"),
  "text": ([[0, "2"]] * 8, "row 0, b: no finite number but '2'"),
  "null": ([[0, None]] * 8, "row 0, b: no finite number but None"),
  "infinity": ([[0, float("inf")]] * 8, "row 0, b: no finite number but inf"),
  "a large whole number": ([[10**400, 0]] * 8, "row 0, a: .* too large"),
  "nested": ([[[1], 0]] * 8, "row 0, a: no finite number"),
  "ragged": ([[0, 0]] * 8 + [[0]], "row 8 has 1 numbers, not the 2 of a, b"),
  "flat": ([0.0] * 8, "is no table"),
  "short": ([[0, 0]] * 7, "has 7 rows, 8 are needed"),
  "empty": ([], "has 0 rows"),
  "an object": ({"a": 1}, "is no table"),
  "a number": (3, "is no table"),
}


@pytest.mark.parametrize("series, says", BAD_SERIES.values(), ids=BAD_SERIES)
def test_a_record_that_cannot_be_forecast_is_one_error(series, says):
  predictor = object.__new__(SeriesPredictor)
  predictor._names, predictor._length = ["a", "b"], T
  predictor._mean, predictor._std = TABLE.mean(0), TABLE.std(0)
  with pytest.raises(UserError, match=says):
    predictor.check({"series": series})
  predictor.check({"series": [[10**12, -2.5]] * 9})


def test_a_damaged_scale_is_reported(run, tmp_path):
  loaded = load_run(run)
  for text in ("{", '{"names": ["a"]}', '{"names": ["a"], "mean": [0], "std": [0]}'):
    (tmp_path / "series.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="missing or damaged"):
      SeriesPredictor(loaded.config.task, loaded.model, loaded.params, tmp_path)


def test_short_horizons_count_the_windows_at_the_end_and_the_winner_is_named_first(
  run, monkeypatch
):
  monkeypatch.setattr(series_jobs, "HORIZONS", (1, 2, 96))
  loaded = load_run(run)
  task = run_task.make(loaded.config, loaded.model)
  findings = task.evaluate(loaded.params, "test")
  windows = {str(h): 30 - h + 1 for h in (1, 2, H)}
  assert findings.numbers["windows_at"] == windows and findings.numbers["windows"] == 30
  values = (TABLE - TABLE[:60].mean(0)) / TABLE[:60].std(0)
  miss = [values[s : s + 2] - values[s - 1] for s in range(90, 120 - 2 + 1)]
  mse = findings.numbers["errors"]["naive"]["2"]["mse"]
  assert mse == pytest.approx(np.mean(np.square(miss)), rel=1e-12)
  best = min(e["2"]["mse"] for e in findings.numbers["errors"].values())
  assert "forecast is better than the model in MSE at" in findings.lines[0]
  assert findings.numbers["errors"]["model"]["2"]["mse"] > best
  assert "m=3" in findings.numbers["signature"] and "(season 3)" in findings.lines[-1]


@pytest.mark.parametrize(
  "rows, parts",
  [
    ("0.7,0.1,0.2", (84, 12, 24)),
    ("0.29, 0.01, 0.7", (34, 2, 84)),  # 0.29 of 120 is 34.8; what is left is held out
    (".5,.25,.2", (60, 30, 24)),
    ("60,30,30", (60, 30, 30)),
  ],
)
def test_parts_are_counts_or_fractions(rows, parts):
  assert SeriesConfig(rows=rows).parts(120) == parts
