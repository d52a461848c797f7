"""Numbers are written and read without pandas as pandas does it."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import plain, read_column, write_csv, write_parquet, write_rows


def test_rows_are_written_as_a_table_is(tmp_path):
    columns, rows = ["images", "loss", "accuracy"], [[16, 1 / 3, math.nan], [2**31, 1e-12, 0.5], [48, -1.0, 1e20]]
    write_rows(tmp_path / "rows.csv", columns, rows)
    write_csv(tmp_path / "table.csv", pd.DataFrame(rows, columns=columns))
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


def test_a_column_is_read_as_from_a_table(tmp_path):
    table = pd.DataFrame({"label": np.array([3, -1, 2], np.int32), "origin": ["a", "b", "c"]})
    write_parquet(tmp_path / "labels.parquet", table)
    labels = read_column(tmp_path / "labels.parquet", "label")
    assert labels.dtype == np.int32
    assert labels.tolist() == [3, -1, 2]
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_column(tmp_path / "labels.parquet", "class")
    (tmp_path / "labels.parquet").write_bytes(b"torn")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_column(tmp_path / "labels.parquet", "label")


def test_a_plain_value_is_strict_json():
    value = {1: (np.float32(0.5), np.int64(3), math.nan), "b": [-math.inf, True, None, {"c": np.bool_(False)}]}
    assert plain(value) == {"1": [0.5, 3, None], "b": [None, True, None, {"c": False}]}
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)
