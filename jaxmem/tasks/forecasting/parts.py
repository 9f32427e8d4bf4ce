"""The parts of a run's series: training, held-out and test rows, standardised.

The rows of a part of all series stand end to end in one array, and a window lies inside
of one series. Every series is standardised by its own training rows, and a covariate by
the training rows of all series together: so a flag means the same in each of them, and
what never changes within a series can still tell series apart.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.core.errors import ConfigError, DataError
from jaxmem.data.epochs import once
from jaxmem.tasks.forecasting import metrics, standard
from jaxmem.tasks.forecasting.covariates import Names
from jaxmem.tasks.forecasting.metrics import Units
from jaxmem.tasks.forecasting.panel import Panel
from jaxmem.tasks.forecasting.standard import Standard
from jaxmem.tasks.forecasting.windows import Covariates, window_starts

SPLITS = ("train", "heldout", "test")


class Part(NamedTuple):
  """The rows of one split, of all series end to end.

  Attributes:
    values: standardised.
    raw: in the units of the table.
    lengths: rows of each series.
    covariates: of the same rows.
  """

  values: Float[np.ndarray, "N C"]
  raw: Float[np.ndarray, "N C"]
  lengths: Int[np.ndarray, " S"]
  covariates: Covariates

  def starts(self, size: int) -> Int[np.ndarray, " W"]:
    """The first rows of all windows of so many rows."""
    return window_starts(self.lengths, size)

  def series(self, rows: Int[np.ndarray, " B"]) -> Int[np.ndarray, " B"]:
    """The numbers of the series that rows belong to."""
    return np.searchsorted(np.cumsum(self.lengths), rows, side="right")

  def ends(self, series: Int[np.ndarray, " B"]) -> Int[np.ndarray, " B"]:
    """The rows after the last ones of some series."""
    return np.cumsum(self.lengths)[series]

  def batches(
    self, size: int, rows: int
  ) -> Iterator[tuple[Int[np.ndarray, " rows"], int]]:
    """Yields the starts of windows of `size` rows as `data.epochs.once` does."""
    starts = self.starts(size)
    for items, real in once(len(starts), rows):
      yield starts[items], real


class Parts(NamedTuple):
  """What a run reads of its series.

  Attributes:
    splits: "train", "heldout" and "test".
    standard: [S, C], what standardises each series.
    units: [S, C], what errors are measured in.
    ids: what names each series.
    covariates: [E], what standardises the covariates.
    notes: which series were left out, in words.
  """

  splits: dict[str, Part]
  standard: Standard
  units: Units
  ids: tuple[str, ...]
  covariates: Standard
  notes: tuple[str, ...] = ()

  def standard_of(self, series: Int[np.ndarray, " B"]) -> Standard:
    """What standardises windows of some series, [B, 1, C]."""
    return Standard(self.standard.mean[series, None], self.standard.std[series, None])


def split(
  panel: Panel,
  parts: Callable[[int], tuple[int, int, int]],
  sizes: tuple[int, int],
  season: int,
  source: str,
) -> Parts:
  """Splits every series by time.

  A window may begin in the part before its own; what it forecasts may not. Of a table
  in long format, series that have no window in one of the parts, or never change in
  their training rows, are left out and counted.

  Args:
    panel: the series.
    parts: the rows of the three parts, from the rows of a series.
    sizes: T and H, steps that are read and that are forecast.
    season: steps of a period.
    source: of the table, for messages.

  Raises:
    DataError, ConfigError: if a part has no window, or values cannot be computed with.
  """
  length, horizon = sizes
  is_long = panel.ids != ("",)
  rows: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in SPLITS}
  standards, units, ids, short, constant = [], [], [], 0, 0
  for name, values, covariates in zip(
    panel.ids, panel.values, panel.covariates, strict=True
  ):
    counts = parts(len(values))
    ends = np.cumsum(counts)
    slices = (
      slice(0, ends[0]),
      slice(ends[0] - length, ends[1]),
      slice(ends[1] - length, ends[2]),
    )
    if is_long and (counts[0] < length + horizon or min(counts[1:]) < horizon):
      short += 1
      continue
    train = values[: counts[0]]
    if is_long and standard.is_constant(train).any():
      constant += 1
      continue
    scale = standard.fit(train, panel.names, source)
    scaled = scale.apply(values)
    where = f"{source}, series {name!r}" if is_long else source
    standard.check_far(scaled[: ends[2]], panel.names, where)
    units.append(metrics.units(train, scale.std, season))
    standards.append(scale)
    ids.append(name)
    for side, part in zip(SPLITS, slices, strict=True):
      rows[side].append((scaled[part], values[part], covariates[part]))
  if not ids:
    raise DataError(
      f"{source}: none of {len(panel.ids):,} series can be used, {short:,} have no "
      f"window of task.segment_length {length} + model.horizon {horizon} in each part "
      f"of task.rows, and {constant:,} never change in their training rows: lower "
      "these, or give more rows"
    )
  names = panel.covariate_names
  covariate_scale = standard.fit(
    np.concatenate([arrays[2] for arrays in rows["train"]]), names.columns, source
  )
  splits = {
    side: _part(arrays, covariate_scale, names, f"the {side} part of {source}")
    for side, arrays in rows.items()
  }
  _check_windows(splits, length, horizon)
  left_out = {"too short": short, "constant in training": constant}
  notes = [f"{n:,} series are left out: {why}" for why, n in left_out.items() if n]
  mean, std = map(np.stack, zip(*standards, strict=True))
  naive = np.stack([unit.naive for unit in units])
  return Parts(
    splits,
    Standard(mean, std),
    Units(std, naive, season),
    tuple(ids),
    covariate_scale,
    tuple(notes),
  )


def _check_windows(splits: dict[str, Part], length: int, horizon: int) -> None:
  """Raises ConfigError if a part is shorter than one window."""
  for side, part in splits.items():
    if not len(part.starts(length + horizon)):
      raise ConfigError(
        f"the {side} part has {len(part.values)} rows, and task.segment_length "
        f"{length} + model.horizon {horizon} are {length + horizon}: lower one, or "
        "give more rows"
      )


def _part(
  series: list[tuple[np.ndarray, ...]], standardise: Standard, names: Names, where: str
) -> Part:
  """Joins the rows of all series; raises DataError if a covariate is too large."""
  values, raw, covariates = map(np.concatenate, zip(*series, strict=True))
  covariates = standardise.apply(covariates)
  standard.check_far(covariates, names.columns, where)
  lengths = np.array([len(arrays[0]) for arrays in series])
  return Part(values, raw, lengths, Covariates(covariates, len(names.future)))
