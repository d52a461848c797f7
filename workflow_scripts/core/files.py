"""Files between rules: written whole or not at all, read with an error that says what to do.

Every writer puts its bytes under a temporary name in the target's own folder and renames it when complete, so that a
killed job leaves no half-written artifact under its final name.
"""

import glob
import hashlib
import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from workflow_scripts.core.errors import InputError

if TYPE_CHECKING:  # half a second to import: every start of snakemake would pay it
    import pandas as pd


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success rename it to `path`, on any error remove it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept at the end: several writers choose their format by it.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")
    # What a killed writer of the same file has left.
    for stale in target.parent.glob(f".{glob.escape(target.stem)}.*.partial{target.suffix}"):
        stale.unlink(missing_ok=True)
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write strict JSON (NaN and infinities are refused: a missing number is null), indented, keys in given order."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A value as strict JSON has it: numbers of NumPy as Python's, null for those that are missing or infinite."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_npy(path: str | os.PathLike[str], array: np.ndarray) -> None:
    array = np.ascontiguousarray(array)
    if array.dtype.hasobject:
        raise TypeError(f"{path}: an array of objects would have to be pickled")
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.lib.format.write_array_header_1_0(handle, np.lib.format.header_data_from_array_1_0(array))
        # Not by NumPy, whose error on a full disk does not say so.
        handle.write(array.reshape(-1).view(np.uint8).data)


def write_parquet(path: str | os.PathLike[str], frame: "pd.DataFrame") -> None:
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False)


def write_csv(path: str | os.PathLike[str], frame: "pd.DataFrame") -> None:
    """Write a table for people and other tools: ten significant digits, empty cells for missing values."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")


def write_rows(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    """Write rows of numbers as `write_csv` writes a table, without pandas: importing it takes longer than this."""

    def text(value: float) -> str:
        return str(value) if isinstance(value, int) else "" if math.isnan(value) else f"{value:.10g}"

    lines = [",".join(columns), *(",".join(map(text, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def remake(path: str | os.PathLike[str]) -> str:
    """What to tell a user whose artifact is broken; if it were deleted, Snakemake might find that nothing needs it."""
    return (
        "To recompute it and everything that depends on it, add to the same snakemake command:  "
        f"--forcerun {shlex.quote(str(path))}"
    )


def _unreadable(path: str | os.PathLike[str], kind: str, cause: object) -> InputError:
    return InputError(f"{path}: not a readable {kind} file ({cause}). If the workflow made it: {remake(path)}")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read strict JSON: NaN and infinities, which Python's reader takes by itself, are refused."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError) as cause:
        raise _unreadable(path, "JSON", cause) from cause


def read_npy(path: str | os.PathLike[str], mmap: bool = True) -> np.ndarray:
    """Read an array, memory-mapped read-only unless `mmap` is false. Pickled arrays are refused."""
    try:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except Exception as cause:  # what NumPy raises on a broken file is of many unrelated types
        raise _unreadable(path, "NumPy", cause) from cause


def read_parquet(path: str | os.PathLike[str]) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as cause:  # pyarrow's errors derive from these two
        raise _unreadable(path, "Parquet", cause) from cause


def read_column(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """One column of numbers of a Parquet file, read-only. Without pandas: importing it takes longer than this."""
    from pyarrow.parquet import ParquetFile

    try:
        return np.from_dlpack(ParquetFile(path).read(columns=[name])[name].combine_chunks())
    except (OSError, ValueError, KeyError) as cause:  # pyarrow's errors derive from the first two
        raise _unreadable(path, "Parquet", cause) from cause


def read_csv(path: str | os.PathLike[str]) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as cause:  # pandas' errors of reading are ValueErrors
        raise _unreadable(path, "CSV", cause) from cause


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that change when any part of a JSON-able value changes; key order does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
