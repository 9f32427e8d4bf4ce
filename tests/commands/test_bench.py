"""The benchmark runs, compares and reports; its sizes here measure nothing."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmem import bench, ops
from jaxmem.bench import cases, peers, report, runner
from jaxmem.bench.case import OURS

BOTH = "forward+backward"


def result(case, contestant, seconds=1.0, temp_bytes=None):
  measured = runner.summary([seconds], tokens=1000)
  row = {"case": case, "who": contestant, "direction": BOTH, "repeats": 1}
  return row | measured | {"temp_bytes": temp_bytes}


def row_of(rows, against):
  (row,) = [row for row in rows if row["against"] == peers.PEERS[against].title]
  return row


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
  """Runs the command once, with the peers that JAX and Flax contain."""
  out = tmp_path_factory.mktemp("bench")
  jax_peers = {name: p for name, p in peers.PEERS.items() if p.framework == "jax"}
  argv = ["--ops", "attention,lstm", "--peers", "--quick", "--rounds", "2"]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(peers, "PEERS", jax_peers)
    code = bench.main([*argv, "--out", str(out)])
  return code, out


def test_quick_run_measures_every_contestant_in_both_directions(quick_run):
  code, out = quick_run

  results = json.loads((out / "bench_cpu.json").read_text())["results"]

  assert code == 0
  assert {(r["case"], r["who"]) for r in results} == {
    ("attention", "jaxmem"),
    ("attention", "jax_nn_attention"),
    ("lstm", "jaxmem"),
    ("lstm", "flax_lstm"),
    ("lstm_short", "jaxmem"),
    ("lstm_long", "jaxmem"),
  }
  assert len(results) == 12
  for r in results:
    assert len(r["samples"]) == 2 and r["temp_bytes"] > 0
    assert 0 < r["minimum"] <= r["seconds"] <= r["maximum"]


def test_quick_run_reports_machine_and_comparisons_and_judges_nothing(quick_run):
  _, out = quick_run

  results = json.loads((out / "bench_cpu.json").read_text())
  page = (out / "bench_cpu.md").read_text()

  assert results["machine"]["cpu"] in page
  assert f"jax {jax.__version__}" in page
  assert [row["row"] for row in results["comparisons"]] == [
    "LSTM",
    "causal attention, memory",
    "lstm: ns per token, 64k / 8k",
  ]
  assert {row["verdict"] for row in results["comparisons"]} == {"tried only"}


def test_unknown_op_exits_2_and_names_the_nearest(capsys):
  code = bench.main(["--ops", "lstn", "--quick"])

  assert code == 2
  assert "did you mean 'lstm'?" in capsys.readouterr().err


def test_no_rounds_exits_2(capsys):
  assert bench.main(["--rounds", "0", "--quick"]) == 2
  assert "at least 1" in capsys.readouterr().err


def test_a_failed_contestant_becomes_an_error_and_the_others_continue():
  contestants = [runner.Contestant("diagonal", w) for w in ("nobody", OURS)]

  results = runner.measure(contestants, {"diagonal": 128}, rounds=1, quick=True)

  errors = [r for r in results if "error" in r]
  assert [r["who"] for r in errors] == ["nobody", "nobody"]
  assert "nobody" in errors[0]["error"]
  assert [r["who"] for r in results if "seconds" in r] == [OURS] * 2


def test_another_checkout_takes_turns_with_this_one():
  root = Path(__file__).parents[2]
  (group, *_) = bench.groups("diagonal", with_peers=False, against=root)
  assert [c.who for c in group][-1] == str(root)

  results = runner.measure(
    group[:1] + group[-1:],
    {"diagonal": 128},
    rounds=1,
    quick=True,
    directions=("forward",),
  )
  rows = [{"group": "diagonal", **row} for row in results]
  assert report.ratios(rows) == [rows[0]["seconds"] / rows[1]["seconds"]]


def test_a_stopped_benchmark_measures_only_what_is_missing(tmp_path, monkeypatch):
  argv = ["--ops", "diagonal,gru", "--quick", "--out", str(tmp_path)]
  measured = []

  def measure(group, tokens, **_):
    if len(measured) == 1 and "gru" in group[0].case:
      raise KeyboardInterrupt
    measured.append(group[0].case)
    row = {"who": OURS, "direction": "forward", "error": "not measured"}
    return [{"case": contestant.case, **row} for contestant in group]

  monkeypatch.setattr(runner, "measure", measure)
  with pytest.raises(KeyboardInterrupt):
    bench.main(argv)
  first = measured.copy()
  measured.append("the second call begins")

  assert bench.main(argv) == 0

  assert first and not set(first) & set(measured[len(first) :])
  rows = json.loads((tmp_path / "bench_cpu.json").read_text())["results"]
  assert {"diagonal", "gru"} <= {row["case"] for row in rows}
  assert not (tmp_path / bench.NAMES[1]).exists()  # the next benchmark begins anew


def test_a_folder_that_is_no_checkout_exits_2(tmp_path, capsys):
  assert bench.main(["--quick", "--against", str(tmp_path)]) == 2
  assert "give the root of a checkout" in capsys.readouterr().err


def test_summary_is_median_range_and_ns_per_token():
  summary = runner.summary([3e-6, 1e-6, 2e-6], tokens=4)

  assert (summary["seconds"], summary["minimum"], summary["maximum"]) == (
    2e-6,
    1e-6,
    3e-6,
  )
  assert summary["ns_per_token"] == pytest.approx(500)


@pytest.mark.parametrize(
  "fraction, expected",
  [(0.2, "stretch met"), (0.25, "stretch met"), (0.4, "met"), (0.41, "MISSED")],
)
def test_verdict_is_plain(fraction, expected):
  assert report.verdict(fraction, 0.4, 0.25) == expected


def test_comparison_is_a_fraction_of_the_peers():
  results = [
    result("lstm", OURS, seconds=0.3),
    result("lstm", "torch_lstm", seconds=0.25),
    result("attention", OURS, temp_bytes=5),
    result("attention", "jax_nn_attention", temp_bytes=100),
    result("lstm_short", OURS, seconds=1.0),
    result("lstm_long", OURS, seconds=1.5),
  ]

  rows = report.compare(results)

  time, memory = row_of(rows, "torch_lstm"), row_of(rows, "jax_nn_attention")
  assert time["fraction"] == pytest.approx(1.2) and time["verdict"] == "met"
  assert memory["fraction"] == pytest.approx(0.05) and memory["verdict"] == "met"
  (growth,) = [row for row in rows if row["against"] == "the shorter call"]
  assert growth["fraction"] == pytest.approx(1.5) and growth["verdict"] == "MISSED"


def test_failed_side_is_shown_and_not_compared():
  dead = {"case": "lstm", "who": "torch_lstm", "direction": BOTH, "error": "no memory"}

  results = report.build([result("lstm", OURS), dead], rounds=1, quick=False)

  assert results["comparisons"] == []
  assert "failed: no memory" in report.markdown(results)


def test_every_op_has_a_standard_case_and_growth():
  table = cases.table()

  assert set(ops.names()) <= table.keys()
  assert "window" in cases.growing() and "attention" not in cases.growing()
  for name in cases.growing():
    assert table[f"{name}_long"].tokens == 8 * table[f"{name}_short"].tokens


def test_op_without_a_row_is_measured_on_its_example(monkeypatch):
  monkeypatch.delitem(cases.SIZES, "short_conv")

  case = cases._op_case("short_conv", {}, quick=True)

  assert case.ours(*case.draw()).shape[:2] == (1, 64)


@pytest.mark.parametrize("name", [n for n, p in peers.PEERS.items() if p.same])
def test_peer_computes_the_same(name):
  peer = peers.PEERS[name]
  for module in peer.modules:
    pytest.importorskip(module)
  case = cases.table(True)[peer.case]

  expected = np.asarray(jax.jit(case.ours)(*case.draw()))
  f, arrays = peer.build(case)
  if peer.framework == "torch":
    arrays = [sys.modules["torch"].tensor(a) for a in arrays]
  actual = np.asarray(f(*arrays))

  if actual.shape != expected.shape:  # heads first, or time last
    actual = actual.swapaxes(1, 2)
  np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5)
