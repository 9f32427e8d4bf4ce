"""Covariates: they decide forecasts, do not leak, and are refused by name."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import ConfigError
from jaxmem.data import DataError
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.forecasting import covariates, panel, parts
from jaxmem.tasks.forecasting.task import SeriesConfig
from jaxmem.tasks.forecasting.windows import Covariates, collate, window_rows
from jaxmem.training.config import Config, OptimConfig, ValidationConfig
from jaxmem.training.trainer import train

T, H = 8, 4
NAMES = covariates.Names(("price",), ("holiday",))
RNG = np.random.default_rng(0)
# Each number of the series is decided by the holiday of its own row, and by nothing
# that comes before it.
HOLIDAY = RNG.integers(0, 2, 200)
PRICE = RNG.normal(size=200)
LOAD = 40 + 5 * HOLIDAY


def day(i):
  return str(np.datetime64("2020-01-01") + int(i))


def written(path, header="ds,load,price,holiday", rows=None):
  if rows is None:
    cells = zip(LOAD, PRICE, HOLIDAY, strict=True)
    rows = [f"{day(i)},{y},{p:.4f},{h}" for i, (y, p, h) in enumerate(cells)]
  path.write_text("\n".join([header, *rows]) + "\n")
  return path


def split(table, path, shares="0.6,0.2,0.2"):
  config = SeriesConfig(source=str(path), rows=shares)
  return parts.split(table, config.parts, (T, H), 3, str(path))


# --- a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  root = tmp_path_factory.mktemp("exogenous")
  config = Config(
    model=ForecasterConfig(
      horizon=H, patch=4, d_model=8, normalise=False, pattern=(entry("gru"),)
    ),
    task=SeriesConfig(
      source=str(written(root / "table.csv")),
      rows="0.6,0.2,0.2",
      segment_length=T,
      batch_size=32,
      season=3,
      past_covariates="price",
      future_covariates="holiday",
    ),
    optim=OptimConfig(learning_rate=0.03, warmup_steps=1),
    validation=ValidationConfig(),
    steps=60,
    save_every=60,
  )
  assert train(config, root / "run") == 0
  return root / "run"


def test_a_series_that_its_future_covariate_decides_is_learned(run):
  report = json.loads((run / "report.json").read_text())
  # without the covariate, no forecast is better than the variance of the series, 1
  assert report["errors"]["model"][str(H)]["mse"] < 0.1
  assert report["errors"]["naive"][str(H)]["mse"] > 1
  assert report["covariates"] == {"past": ["price"], "future": ["holiday"]}
  text = (run / "report.md").read_text()
  assert "The model reads past covariates: price." in text
  assert "The model reads future covariates: holiday." in text


def test_a_record_has_the_covariates_of_the_horizon_and_says_what_is_missing(
  run, tmp_path, capsys
):
  good = {
    "series": LOAD[:10, None].tolist(),
    "past_covariates": PRICE[:10, None].tolist(),
    "future_covariates": HOLIDAY[: 10 + H, None].tolist(),
  }
  bad = {
    '"future_covariates" is missing: the run reads holiday': {
      k: v for k, v in good.items() if k != "future_covariates"
    },
    '"future_covariates" has 10 rows, 14 are needed: 10 of "series" and 4 of': (
      good | {"future_covariates": good["future_covariates"][:10]}
    ),
    '"past_covariates" row 3, price: no finite number but None': (
      good | {"past_covariates": [[1.0]] * 3 + [[None]] * 7}
    ),
    '"future_covariates" row 0, holiday: 1e+300 lies farther': (
      good | {"future_covariates": [[1e300]] * 14}
    ),
    '"past_covariates" is no table': good | {"past_covariates": [1.0] * 10},
  }
  lines = [json.dumps(record) for record in (*bad.values(), good)]
  (tmp_path / "in.jsonl").write_text("\n".join(lines))
  arguments = ["--input", str(tmp_path / "in.jsonl"), "--rows", "4"]

  assert cli.run(["predict", "--workdir", str(run), *arguments]) == 2

  out, err = capsys.readouterr()
  for says in bad:
    assert says in err
  forecast = np.array(json.loads(out.splitlines()[-1])["forecast"])[:, 0]
  np.testing.assert_allclose(forecast, LOAD[10 : 10 + H], atol=1.5)


# --- what a forecast sees


@pytest.mark.parametrize("backbone", ["stack", "dlinear"])
def test_forecasts_see_the_past_of_all_and_the_future_of_those_that_are_known(backbone):
  config = ForecasterConfig(horizon=H, patch=4, d_model=8, backbone=backbone)
  model = Forecaster(config, num_covariates=2, num_future=1)
  params = model.init(jax.random.key(0), model.example(2, T), (), method="objective")
  values = np.stack([PRICE, HOLIDAY], 1)[:40]
  starts, series = np.array([3, 23]), RNG.normal(size=(40, 2))

  @jax.jit
  def forecast(batch):
    kinds = {k: v for k, v in batch.items() if k.endswith("covariates")}
    return model.apply(params, batch["history"], **kinds)[..., 0]  # [B, H, C]

  def changed(rows, column):
    other = values.copy()
    other[rows, column] += 1
    batches = [
      collate(series, starts, (T, H), Covariates(v, 1)) for v in (values, other)
    ]
    first, second = map(forecast, batches)
    return np.abs(np.asarray(first - second)).max((0, 2)) > 1e-6  # of each step

  price, holiday = 0, 1
  assert changed(range(3, 11), price).all() and changed(range(3, 11), holiday).all()
  # no window begins in these rows, which are the horizon of the first window and more
  assert not changed(range(11, 23), price).any()
  assert changed([12], holiday).tolist() == [False, True, False, False]


def test_a_stream_with_covariates_is_the_whole_window():
  config = ForecasterConfig(horizon=H, patch=4, d_model=8)
  model = Forecaster(config, num_covariates=2, num_future=1)
  params = model.init(jax.random.key(0), model.example(2, T), (), method="objective")
  history = jnp.asarray(RNG.normal(size=(2, T, 3)), jnp.float32)
  past = jnp.asarray(RNG.normal(size=(2, T, 2)), jnp.float32)
  ahead = jnp.asarray(RNG.normal(size=(2, H, 1)), jnp.float32)
  scale, state = model.scale(history), model.stream_state(2, 3)
  run = jax.jit(
    lambda *args: model.apply(params, *args[:3], True, *args[3:], method="observe")
  )
  for at in range(0, T, 4):
    piece = slice(at, at + 4)
    last, state = run(history[:, piece], scale, state, past[:, piece], ahead)
  expected = jax.jit(model.apply)(
    params, history, past_covariates=past, future_covariates=ahead
  )
  np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-5)
  with pytest.raises(ValueError, match="future_covariates: 0 columns, the model reads"):
    model.apply(params, history, past_covariates=past)


# --- what is read


def test_columns_that_are_named_are_not_forecast(tmp_path):
  table = panel.read(written(tmp_path / "a.csv"), covariates=NAMES)
  assert table.names == ("load",)
  np.testing.assert_array_equal(table.values[0][:, 0], LOAD)
  np.testing.assert_allclose(
    table.covariates[0], np.stack([PRICE, HOLIDAY], 1), atol=1e-4
  )
  assert table.notes[-2:] == ("past covariates: price", "future covariates: holiday")


def test_the_statistics_are_those_of_the_training_rows(tmp_path):
  path = written(tmp_path / "a.csv")
  table = panel.read(path, covariates=NAMES)
  found = split(table, path)
  other = table.covariates[0].copy()
  other[120:] += 7
  moved = split(table._replace(covariates=(other,)), path)
  np.testing.assert_array_equal(found.covariates, moved.covariates)
  train = found.splits["train"].covariates.values
  np.testing.assert_allclose(
    [train.mean(0), train.std(0)], [[0] * 2, [1] * 2], atol=1e-9
  )
  test = moved.splits["test"].covariates.values - found.splits["test"].covariates.values
  np.testing.assert_allclose(
    test, np.broadcast_to(7 / found.covariates.std, test.shape)
  )


def test_covariates_stand_beside_the_rows_of_their_series(tmp_path):
  """Of two series, one of which has no holiday in its training rows."""
  rows = []
  for name, count, size in (("A", 50, 1), ("B", 30, 100)):
    for i in range(count):
      holiday = HOLIDAY[i] if name == "A" else int(i > 28)
      rows.append(
        f"{name},{day(i)},{size * PRICE[i]:.4f},{size * PRICE[i]:.4f},{holiday}"
      )
  path = written(tmp_path / "a.csv", "unique_id,ds,y,price,holiday", rows)

  table = panel.read(path, "unique_id", covariates=NAMES)
  found = split(table, path)

  assert table.names == ("y",) and [len(a) for a in table.covariates] == [50, 30]
  for part in found.splits.values():
    price = part.covariates.values[:, 0] * found.covariates.std[0]
    np.testing.assert_allclose(
      price + found.covariates.mean[0], part.raw[:, 0], atol=1e-9
    )
  # one scale for both: the flag has two values, whatever the series
  flags = np.unique(found.splits["train"].covariates.values[:, 1].round(9))
  assert len(flags) == 2


FILLED = {"forward": [0, 1, 1, 4], "linear": [0, 1, 2.5, 4], "zero": [0, 1, 0, 4]}


@pytest.mark.parametrize("rule", FILLED)
@pytest.mark.parametrize("is_long", [False, True])
def test_gaps_of_covariates_are_filled_by_the_rule(tmp_path, rule, is_long):
  first = "A," * is_long
  rows = [f"{first}{day(i)},{i},{p},1" for i, p in enumerate(("0", "1", "", "4"))]
  path = written(
    tmp_path / "a.csv", "unique_id," * is_long + "ds,y,price,holiday", rows
  )
  with pytest.raises(DataError, match="row 4, column 'price' is ''"):
    panel.read(path, "unique_id" * is_long, covariates=NAMES)
  table = panel.read(path, "unique_id" * is_long, gaps=rule, covariates=NAMES)
  assert table.covariates[0][:, 0].tolist() == FILLED[rule]
  assert table.values[0][:, 0].tolist() == [0, 1, 2, 3]


def test_the_fingerprint_of_the_rows_knows_the_covariates():
  values, beside = RNG.normal(size=(40, 1)), RNG.normal(size=(40, 2))
  kinds = (None, Covariates(beside[:, :0]), Covariates(beside), Covariates(beside, 1))
  none, empty, past, future = (
    window_rows(values, (T, H), 8, 0, covariates=kind).fingerprint for kind in kinds
  )
  assert none == empty and len({none, past, future}) == 3


# --- what is refused

BAD = {
  "no column": (
    ["--task.past-covariates", "prise"],
    "no column 'prise', only ds, load",
  ),
  "the option": (["--task.future-covariates", "no"], "change task.future_covariates"),
  "text": (["--task.future-covariates", "ds"], "row 2, column 'ds' is '2020-01-01'"),
  "two uses": (
    ["--task.past-covariates", "price", "--task.future-covariates", "holiday,price"],
    "task.past_covariates and task.future_covariates both name 'price'",
  ),
  "forecast too": (
    ["--task.columns", "load,price", "--task.past-covariates", "price"],
    "task.columns and task.past_covariates both name 'price'",
  ),
  "twice": (["--task.past-covariates", "price,price"], "names 'price' twice"),
  "nothing left": (
    ["--task.past-covariates", "load,price,holiday"],
    "has no column of numbers besides",
  ),
}


@pytest.mark.parametrize("arguments, says", BAD.values(), ids=BAD)
def test_wrong_names_exit_with_2(arguments, says, tmp_path, capsys):
  path = str(written(tmp_path / "a.csv"))
  where = ["--task.source", path, "--workdir", str(tmp_path / "run")]
  sizes = ["--task.rows", "0.6,0.2,0.2", "--task.segment-length", "24"]
  sizes += ["--model.horizon", "4"]
  assert cli.run(["train", "forecasting", *where, *sizes, *arguments]) == 2
  assert says in capsys.readouterr().err


def test_a_covariate_that_never_changes_is_refused(tmp_path):
  rows = [f"{day(i)},{y},{i},0" for i, y in enumerate(LOAD)]
  path = written(tmp_path / "a.csv", rows=rows)
  with pytest.raises(DataError, match="column 'holiday' .* never changes in the train"):
    split(panel.read(path, covariates=NAMES), path)


def test_one_column_has_one_use():
  with pytest.raises(ConfigError, match="both name 'a, b'"):
    covariates.parse('"a, b",c', '"a, b"')
