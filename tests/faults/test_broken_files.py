"""Damaged artifacts are named, with what to do, and never used; the command in the message recomputes them."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from tests.conftest import digests, run_snakemake
from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_csv, read_json, read_npy, read_parquet, write_text
from workflow_scripts.core.provenance import check_inputs, record_of


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(_: bytes) -> bytes:
    return b""


def flipped(content: bytes) -> bytes:
    at = int(np.random.default_rng(len(content)).integers(len(content)))
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def longer(content: bytes) -> bytes:
    return content + b"\n"


Damage = Callable[[bytes], bytes]


def rewritten(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """A whole .npy file again, with another array."""

    def damage(content: bytes) -> bytes:
        out = io.BytesIO()
        np.save(out, change(np.load(io.BytesIO(content))))
        return out.getvalue()

    return damage


def reweighed(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """A whole .safetensors file again, with another first tensor."""

    def damage(content: bytes) -> bytes:
        tensors = safetensors.numpy.load(content)
        first = min(tensors)
        return safetensors.numpy.save(tensors | {first: np.ascontiguousarray(change(tensors[first]))})

    return damage


def retold(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    """A whole table again, with other rows or columns."""

    def damage(content: bytes) -> bytes:
        parquet = content[:4] == b"PAR1"
        table = change((pd.read_parquet if parquet else pd.read_csv)(io.BytesIO(content)))
        out = io.BytesIO()
        table.to_parquet(out) if parquet else table.to_csv(out, index=False)
        return out.getvalue()

    return damage


def with_nan(table: pd.DataFrame) -> pd.DataFrame:
    table = table.astype(object)
    table.loc[len(table)] = [np.nan] * len(table.columns)
    return table


def other_type(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64 if array.dtype != np.float64 else np.float32)


def nan_first(array: np.ndarray) -> np.ndarray:
    return np.where(np.arange(array.size).reshape(array.shape), array, np.nan)


EVERY = [truncated, empty, flipped, longer]
# Whole files of the right kind that hold something else; of figures and texts there are none.
OTHER: dict[str, dict[str, Damage]] = {
    ".npy": {
        "shape": rewritten(lambda array: array[None]),
        "type": rewritten(other_type),
        "not a number": rewritten(nan_first),
    },
    ".safetensors": {
        "shape": reweighed(lambda array: array[None]),
        "type": reweighed(other_type),
        "not a number": reweighed(nan_first),
    },
    ".json": {
        "shape": lambda content: b"[" + content + b"]",
        "type": lambda content: json.dumps(content.decode()).encode(),
        "not a number": lambda content: re.sub(rb"(?<=[ :])[0-9][0-9.e+-]*|\Z", b"NaN", content, count=1),
    },
}
OTHER[".parquet"] = OTHER[".csv"] = {
    "shape": retold(lambda table: table.iloc[1:]),
    "type": retold(lambda table: table.map(lambda value: f"{value}?")),
    "not a number": retold(with_nan),
}


def artifacts(folder: Path) -> list[Path]:
    """Every artifact of a run that has a record, relative to its folder."""
    records = sorted((folder / "results/provenance").rglob("*.json"))
    return [
        "results" / record.parent.relative_to(folder / "results/provenance") / record.name.removesuffix(".json")
        for record in records
    ]


def test_every_artifact_has_a_record_of_what_made_it(smoke_run: Path) -> None:
    recorded = {str(path.relative_to("results")) for path in artifacts(smoke_run)}
    assert recorded == {*digests(smoke_run), "report.html", "workflow_report.html"}  # which hold times
    for path in artifacts(smoke_run):
        record = json.loads(record_of(smoke_run / path).read_text())
        assert record["revision"] != "unknown"
        assert record["versions"]["python"].startswith("3.11")
        assert record["hardware"]["processor"]
        assert record["bytes"] == (smoke_run / path).stat().st_size
    trained = next(path for path in artifacts(smoke_run) if path.match("generators/biggan/*/*/*/weights.safetensors"))
    record = json.loads(record_of(smoke_run / trained).read_text())
    assert record["params"]["generator"]["overrides"]["steps"] == 40
    assert record["wildcards"]["seed"] == "0"
    assert record["versions"]["torch"]
    images = next(path for path in record["inputs"] if path.endswith("images.npy"))
    assert record["inputs"][images] == json.loads(record_of(smoke_run / images).read_text())["sha256"]


@pytest.mark.slow
def test_whatever_is_damaged_is_named_whole_files_pass(smoke_run: Path, tmp_path: Path) -> None:
    """All artifacts of the smoke study, each damaged in every way that its kind allows."""
    tried = set()
    for path in artifacts(smoke_run):
        content = (smoke_run / path).read_bytes()
        here = tmp_path / path
        here.parent.mkdir(parents=True, exist_ok=True)
        record_of(here).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(record_of(smoke_run / path), record_of(here))
        here.write_bytes(content)
        assert check_inputs([here])[str(here)]
        damages = {damage.__name__: damage for damage in EVERY} | OTHER.get(path.suffix, {})
        for name, damage in damages.items():
            broken = damage(content)
            if path.suffix == ".csv" and content.count(b"\n") == 1 and broken == content:
                continue  # of a table without rows nothing is cut
            assert broken != content
            here.write_bytes(broken)
            with pytest.raises(InputError, match=r"damaged or changed") as caught:
                check_inputs([here])
            assert f"--forcerun {here}" in str(caught.value)
            tried.add((path.suffix, name))
        here.unlink()
        with pytest.raises(InputError, match=rf"{re.escape(str(here))}: missing.*--forcerun"):
            check_inputs([here])
    kinds = {".npy", ".parquet", ".json", ".csv", ".safetensors", ".md", ".html", ".svg", ".png", ".yaml"}
    assert {kind for kind, _ in tried} == kinds
    assert len(tried) == len(kinds) * len(EVERY) + len(OTHER) * 3


def test_a_damaged_record_is_named_too(smoke_run: Path, tmp_path: Path) -> None:
    here = tmp_path / "results/data/images.npy"
    write_text(here, "bytes")
    for content in ("", "{", "[]", '{"sha256": 5}'):
        write_text(record_of(here), content)
        with pytest.raises(InputError, match=r"provenance/data/images\.npy\.json"):
            check_inputs([here])


@pytest.mark.parametrize("read", [read_json, read_npy, read_parquet, read_csv])
def test_readers_name_the_file_where_there_is_no_record(read: Callable[[Path], object], tmp_path: Path) -> None:
    """As in a bucket: records do not travel with artifacts."""
    for content in (b"", b"\x93NUMPY\x01\x00", b"PAR1\xff\xff", b'{"never closed\n\xff'):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(InputError, match=r"tmp.*file: not a readable"):
            read(tmp_path / "file")


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    for content in ('{"a": NaN}', "[Infinity]", "-Infinity"):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match=r"a\.json: not a readable JSON file \(-?(NaN|Infinity) is no number"):
            read_json(tmp_path / "a.json")


@pytest.mark.slow
def test_jobs_refuse_damaged_inputs_and_name_the_command_that_recomputes_them(smoke_run: Path, tmp_path: Path) -> None:
    """One file of each kind that jobs read, through the workflow: damaged behind its back, then as told."""
    folder = tmp_path / "study"
    shutil.copytree(smoke_run, folder)
    read = [
        next((folder / "results").glob(pattern))
        for pattern in (
            "distillation/*/*/teachers/none-1/logits.npy",
            "distillation/*/*/students/*/weights.safetensors",
            "complexity/*/curve.json",
            "controls/pixel/*/*/*.parquet",
            "rebalancing/improvements.csv",
        )
    ]
    rules = ["diagnose", "look_with_students", "plot_curve", "measure_replication", "fit_gain_law"]
    for path in read:
        times = path.stat()
        path.write_bytes(flipped(path.read_bytes()))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    wrong = run_snakemake(folder, "--forcerun", *rules)
    output = wrong.stdout + wrong.stderr
    assert wrong.returncode != 0
    for path in read:
        assert f"{path.relative_to(folder)}: not what the workflow wrote" in output
        assert f"--forcerun {path.relative_to(folder)}" in output
    again = run_snakemake(folder, "--forcerun", *(str(path.relative_to(folder)) for path in read))
    assert again.returncode == 0, again.stdout[-4000:] + again.stderr[-4000:]
    assert digests(folder) == digests(smoke_run)
