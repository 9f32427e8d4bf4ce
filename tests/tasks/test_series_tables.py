"""Tables of series in common forms are recognised, or refused with a reason."""

import numpy as np
import pytest

from jaxmem.data import DataError
from jaxmem.tasks.forecasting import data, times

DAYS = "date,a\n2020-01-01,1\n2020-01-02,2\n"

READ = {
  "index of pandas": (",a\n0,5\n1,6\n", "a", "column '' is left out: index"),
  "unnamed index": (
    "Unnamed: 0,date,a\n0,2020-01-01,5\n1,2020-01-02,6\n",
    "a",
    "1 day",
  ),
  "row numbers": ("id,a\n1,5\n2,6\n3,7\n", "a", "column 'id' is left out"),
  "unix seconds": ("ts,a\n1700000000,5\n1700003600,6\n", "a", "1:00:00 apart"),
  "unix milliseconds": ("time,a\n1700000000000,5\n1700000000500,6\n", "a", "0:00:00.5"),
  "unix microseconds": (
    "t,a\n1700000000000000,5\n1700000060000000,6\n",
    "a",
    "0:01:00",
  ),
  "unix by another name": ("x,a\n1700000000,5\n1700003600,6\n", "a", "1:00:00"),
  "days as numbers": ("date,a\n20191231,5\n20200101,6\n", "a", "1 day"),
  "hours": (
    "when,a\n2020-01-01T00:00:00Z,5\n2020-01-01T01:00:00+00:00,6\n",
    "a",
    "1:00",
  ),
  "time last": ("a,when\n5,2020-01-01\n6,2020-01-02\n", "a", "'when' is left out"),
  "months": ("m,a\n2020-01,5\n2020-02,6\n2020-03,7\n", "a", "1 month apart"),
  "month ends": ("m,a\n2020-01-31,5\n2020-02-29,6\n2020-03-31,7\n", "a", "1 month"),
  "quarters": ("q,a\n2019Q4,5\n2020Q1,6\n2020Q2,7\n2020Q3,7\n", "a", "3 months"),
  "years": ("year,a\n2019,5\n2020,6\n2021,7\n", "a", "rows are 1 apart"),
  "working days": (
    "d,a\n2020-01-02,5\n2020-01-03,6\n2020-01-06,7\n2020-01-07,7\n",
    "a",
    "1 working day",
  ),
  "American dates": ("d,a\n01/02/2020,5\n01/03/2020,6\n01/04/2020,6\n", "a", "1 day"),
  "European dates": ("d,a\n31/01/2020,5\n01/02/2020,6\n02/02/2020,6\n", "a", "1 day"),
  "semicolons and decimal commas": (
    "Datum;a\n31.12.2019 23:00;1,5\n01.01.2020 00:00;-2,25\n",
    "a",
    "decimal comma",
  ),
  "date and time of day": (
    "Date;Time;a;b;\n10/03/2004;18.00.00;2,6;1;\n10/03/2004;19.00.00;2;2;\n",
    "a,b",
    "1:00:00 apart",
  ),
  "tabs": ("date\ta\n2020-01-01\t1\n2020-01-02\t2\n", "a", "1 day"),
  "tabs and quotes": ('"date"\t"a"\n"2020-01-01"\t"1"\n', "a", "'date' is left out"),
  "bars": ("date|a\n2020-01-01|1\n2020-01-02|2\n", "a", "1 day"),
  "spaces and blank lines": (
    "date, a\n\n2020-01-01, 1\n\n2020-01-02, 2\n",
    "a",
    "1 day",
  ),
  "numbers as names": (",7,8\n2012-03-01,64.3,6\n2012-03-02,62,6\n", "7,8", "1 day"),
  "a quoted cell": ('date,"a"\n"2020-01-01","1"\n"2020-01-02","2"\n', "a", "1 day"),
  "Excel's line": (
    "sep=;\r\ndate;a\r\n2020-01-01;1,5\r\n2020-01-02;2,5\r\n",
    "a",
    "1 day",
  ),
  "delimiters behind rows": ("date,a\n2020-01-01,1,\n2020-01-02,2,,\n", "a", "1 day"),
  "dates with points": ("d,a\n2020.01.30,1\n2020.01.31,2\n", "a", "1 day"),
  "Japanese dates": ("日付,値\n2020年1月30日,1\n2020年1月31日,2\n", "値", "1 day"),
  "quarters with a slash": (
    "q,a\nQ4/2019,5\nQ1/2020,6\nQ2/2020,7\nQ3/2020,7\n",
    "a",
    "3 months",
  ),
  "labels": ("when,a\nfirst,1\nsecond,2\n", "a", "order is not checked"),
  "a mark and CRLF": ("\ufeff" + DAYS.replace("\n", "\r\n"), "a", "1 day"),
  "a rising series": ("a,b\n1,5\n2,6\n3,8\n", "a,b", ""),
  "large counts": ("a,b\n600000000,1\n650000000,2\n800000000,3\n", "a,b", ""),
}


@pytest.mark.parametrize("text, names, note", READ.values(), ids=READ)
def test_tables_in_many_forms_are_recognised(text, names, note, tmp_path):
  (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
  series = data.read(tmp_path / "t.csv")
  assert ",".join(series.names) == names
  assert note in "; ".join(series.notes)
  lines = [line for line in text.splitlines() if line.strip("sep=; ")]
  assert series.values.shape == (len(lines) - 1, len(series.names))


REFUSED = {
  "percent": ("date,a\nx,5%\ny,6%\n", "'5%': a number in the digits .* without a sign"),
  "currency": ("date,a\nx,€5\ny,€6\n", "'€5': .* without a sign, a unit"),
  "a unit": ("date,a\nx,5 kW\ny,6 kW\n", "'5 kW': .* without a sign, a unit"),
  "percent first": ("a,b\n5%,1\n6%,2\n", "column 'a' is '5%'"),
  "hexadecimal first": ("a,b\n0x1f,1\n0x20,2\n", "column 'a' is '0x1f'"),
  "underscores first": ("a,b\n1_0,1\n1_1,2\n", "column 'a' is '1_0'"),
  "beyond float64 first": ("a,b\n1e400,1\n1e401,2\n", "column 'a' is '1e400'"),
  "thousands of digits": (f"a,b\n{'9' * 5000},1\n1,2\n", "9... .5,002 characters"),
  "comments": ("# of a logger\ndate,a\nx,1\n", "row 1 begins with '# of a logger'"),
  "clocks set back": (
    "d,a\n2024-10-27 01:00,1\n2024-10-27 02:00,2\n2024-10-27 02:00,3\n"
    "2024-10-27 03:00,4\n",
    "row 4: .* repeats .* write times of UTC",
  ),
  "underscore": ("date,a\nx,1_000\ny,2\n", "row 2, column 'a' is '1_000': .* 0 to 9"),
  "full width": ("date,a\nx,１２\ny,2\n", "row 2, column 'a' is '１２'"),
  "thousands": ('d,a\nx,"1,234.5"\ny,2\n', "row 2, .* thousands separators"),
  "points of thousands": ("d;a\nx;1.234,5\ny;2,5\n", "row 2, .* thousands"),
  "a comma of either kind": ('d,a\nx,"1,234"\ny,"2,345"\n', "row 2, .* thousands"),
  "two kinds of decimals": ("d;a\nx;1.5\ny;2,5\n", "row 3, .* a decimal comma where"),
  "beyond float32": ("d,a\nx,1e39\ny,2\n", "row 2, .*'1e39': a number of float32"),
  "beyond float64": ("d,a\nx,-1e400\ny,2\n", "row 2, .* a number of float32"),
  "infinite": ("d,a\nx,1\ny,inf\n", "row 3, column 'a' is 'inf': a finite number"),
  "missing": ("d,a\nx,1\ny,NaN\nz,3\n", "row 3, column 'a' is 'NaN': .* fill"),
  "no header": ("2020-01-01,5\n2020-01-02,6\n", "has no header: .*task.header"),
  "no header of numbers": ("1,2\n3,4\n", "has no header"),
  "no header, decimal commas": ("1,5;2\n3,5;4\n", "has no header"),
  "back": (DAYS + "2020-01-01,3\n", "row 4: '2020-01-01' lies before '2020-01-02'"),
  "repeated": (DAYS + "2020-01-02,3\n", "row 4: '2020-01-02' repeats"),
  "index back": (",a\n5,1\n3,2\n", "row 3: '3' lies before '5'"),
  "unix back": ("ts,a\n1700003600,5\n1700000000,6\n", "row 3: .* lies before"),
  "a gap": (
    DAYS + "2020-01-03,3\n2020-01-05,3\n",
    "row 5, a gap: .* 2 days where .* 1 day",
  ),
  "a month's gap": (
    "m,a\n2020-01,5\n2020-02,6\n2020-04,7\n2020-05,7\n",
    "row 4, a gap: .* 2 months where",
  ),
  "an index' gap": (",a\n0,1\n1,2\n3,2\n4,2\n", "row 4, a gap: .* 2 where"),
  "no time": (
    DAYS + "2020-01-03,1\n2020-01-04,1\nsoon,3\n",
    "row 6: 'soon' is no time",
  ),
  "long": (
    "unique_id,ds,y\nA,2020-01-01,1\nA,2020-01-02,2\nA,2020-01-03,2\nB,2020-01-01,1\n"
    "B,2020-01-02,2\n",
    "long format: column 'unique_id' names 2 series of unequal length .*A .3 rows",
  ),
  "long by time": (
    "ds,shop,y\n2020-01-01,1,3\n2020-01-01,2,4\n2020-01-02,1,3\n2020-01-02,2,4\n",
    "long format: column 'shop' names 2 series that",
  ),
  "long without time": ("place,y\nA,1\nA,2\nB,1\nB,2\n", "long format: column 'place'"),
  "an end before others": (
    "date,a,b\n2020-01-01,1,1\n2020-01-02,2,\n2020-01-03,4,\n",
    "row 3, column 'b' .* of unequal length",
  ),
  "a beginning after others": (
    "date,a,b\n2020-01-01,1,\n2020-01-02,2,3\n",
    "row 2, column 'b' .* in row 3: .* unequal length",
  ),
  "a name twice": ("date,a,a\nx,1,2\ny,3,4\n", "column 'a' twice"),
  "a column without a name": ("date,a,\nx,1,2\ny,3,4\n", "column 3 has no name"),
  "parts of a time": (
    "year,month,a\n2020,1,5\n2020,2,6\n2020,3,6\n",
    "a time in several columns .year, month.",
  ),
  "cells apart by spaces": ("date a\n2020-01-01 1\n", "no column of .* put commas"),
  "TSF": ("# of the Monash archive\n@data\nT1:1,2,3\n", "begins with '# of the Monash"),
  "JSON Lines": ('{"a": 1}\n{"a": 2}\n', "is no table"),
  "no numbers": ("date\n2020-01-01\n2020-01-02\n", "no column of numbers"),
}


@pytest.mark.parametrize("text, says", REFUSED.values(), ids=REFUSED)
def test_tables_that_would_be_misread_are_refused_with_a_reason(text, says, tmp_path):
  (tmp_path / "t.csv").write_text(text, encoding="utf-8")
  with pytest.raises(DataError, match=says):
    data.read(tmp_path / "t.csv")


def test_options_override_what_is_recognised(tmp_path):
  path = tmp_path / "t.csv"
  path.write_text("1,2\n3,4\n5,7\n", encoding="utf-8")
  assert data.read(path, header="no").values.tolist() == [[1, 2], [3, 4], [5, 7]]
  assert data.read(path, "2", header="no").values.tolist() == [[2], [4], [7]]
  assert data.read(path, header="yes").names == ("1", "2")
  path.write_text(DAYS + "2020-01-05,3\n2020-01-06,3\n", encoding="utf-8")
  series = data.read(path, gaps="keep")
  assert len(series.values) == 4 and "gaps are kept" in " ".join(series.notes)
  path.write_text("time,a,b\n3,1,2\n1,1,2\n2,1,2\n", encoding="utf-8")
  assert data.read(path, "time, a").names == ("time", "a")
  with pytest.raises(DataError, match="names 'a' twice"):
    data.read(path, "a,a")
  path.write_text("id,a\n7,5\n3,6\n9,7\n", encoding="utf-8")
  assert data.read(path).names == ("id", "a")  # unsorted ids are no row numbers


def test_summer_time_is_no_gap_where_zones_are_written():
  cells = [f"2021-03-28T0{h}:30:00+0{1 if h < 2 else 2}:00" for h in (0, 1, 3, 4)]
  column = times.find("when", cells, True)
  np.testing.assert_array_equal(np.diff(column.values), 3600)
  assert times.gap(column) is None
  bare = [cell[:-6] for cell in cells]
  assert (
    "2:00:00 where the usual one is 1:00:00"
    in times.gap(times.find("when", bare, True))[1]
  )
