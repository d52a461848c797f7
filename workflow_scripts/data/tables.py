"""Tables of image files: Parquet, as Hugging Face's datasets are stored."""

import io
import json
import math
import threading
from collections import deque
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.archives import files_of, sorted_classes, split_notes
from workflow_scripts.data.formats import open_image
from workflow_scripts.data.source import Source, printable

WHOLE = 2**26  # bytes: parts up to this size are read in one go
ROWS = 32  # of larger ones, that are read at a time
KEPT = 32  # of such batches, since threads ask for rows a little out of order


def parquet_set(path: Path, images_key: str, labels_key: str | None) -> Source:
    """The images of a Parquet file, or of a folder of them, as Hugging Face's datasets are stored.

    The column `images_key` holds encoded images, as bytes or as {bytes, path}; `labels_key` whole numbers, whose names
    are in the file's own description if Hugging Face wrote it, or text. `sample.image` is the field of a column.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    shards = files_of(path, (".parquet",), "the Parquet file")
    starts, groups, values, names = [0], [], [], None
    for shard in shards:
        try:
            file = parquet.ParquetFile(shard)
            for key in filter(None, (images_key, labels_key)):
                if not _has_column(file.schema_arrow, key):
                    raise InputError(
                        f"{shard}: has no column {key!r}, only {', '.join(file.schema_arrow.names)}; correct the key"
                    )
            for group in range(file.num_row_groups):
                groups.append((shard, group))
                starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
            if labels_key:
                values += [_field(cell, labels_key) for cell in file.read(columns=[labels_key]).column(0).to_pylist()]
                names = names or class_names(file.schema_arrow.metadata, labels_key)
        except (arrow.ArrowException, OSError) as cause:
            raise InputError(f"{shard}: not a readable Parquet file ({cause}); fetch it again") from cause
    if not starts[-1]:
        raise InputError(f"{path}: holds no row")
    values = [_whole(value) for value in values]
    odd = next((value for value in values if not isinstance(value, int | str | None)), None)
    if odd is not None:
        raise InputError(f"{path}: labels_key: {labels_key} holds {type(odd).__name__}, expected whole numbers or text")
    if names and all(isinstance(value, int) and -1 <= value < len(names) for value in values if value is not None):
        values = [None if value in (None, -1) else names[value] for value in values]
    classes, codes = sorted_classes(values, names) if labels_key else ([], np.full(starts[-1], -1))
    part = lru_cache(maxsize=2)(lambda group: _Part(*groups[group], images_key))
    lock = threading.Lock()

    def read(i: int) -> tuple[Image.Image, int]:
        group = int(np.searchsorted(starts, i, side="right")) - 1
        with lock:
            cell = _field(part(group).cell(i - starts[group]), images_key)
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            named = cell.get("path") if isinstance(cell, dict) else None
            instead = f", only the path {named}: embed the files when you save the set" if named else ""
            raise ValueError(f"the column {images_key} holds no encoded image here{instead}")
        return open_image(partial(io.BytesIO, content)), int(codes[i])

    def origin(i: int) -> str:
        group = int(np.searchsorted(starts, i, side="right")) - 1
        return printable(f"{groups[group][0].name}/row {i - starts[group]} of part {groups[group][1]}")

    return Source(path.name, starts[-1], classes, read, origin, notes=split_notes(shards))


def _has_column(schema: Any, key: str) -> bool:
    """Whether a table has a column of that name, or one with such a field: `sample.image`."""
    column, _, name = key.partition(".")
    if key in schema.names or column not in schema.names:
        return key in schema.names
    return name in {field.name for field in fields_of(schema.field(column).type)}


def fields_of(kind: Any) -> list[Any]:
    """The fields of a type of columns, none if it has none."""
    import pyarrow as arrow

    return [kind.field(i) for i in range(kind.num_fields)] if arrow.types.is_struct(kind) else []


def _field(cell: Any, key: str) -> Any:
    name = key.partition(".")[2]
    return cell[name] if isinstance(cell, dict) and name in cell else cell


class _Part:
    """The images of one part ("row group") of a file, in bounded memory if they are asked for about in order."""

    def __init__(self, shard: Path, number: int, column: str) -> None:
        import pyarrow.parquet as parquet

        self.file, self.number, self.column = parquet.ParquetFile(shard, buffer_size=2**20), number, column
        columns = self.file.metadata.row_group(number)
        sizes = (columns.column(i) for i in range(columns.num_columns))
        size = sum(part.total_uncompressed_size for part in sizes if f"{part.path_in_schema}.".startswith(f"{column}."))
        self.rows = ROWS if size > WHOLE else max(columns.num_rows, 1)
        self._restart()

    def cell(self, row: int) -> Any:
        if self.kept and row < self.kept[0][0]:
            self._restart()
        while row >= self.end:
            batch = next(self.batches)
            self.kept.append((self.end, batch))
            self.end += len(batch)
        first, batch = next(part for part in reversed(self.kept) if part[0] <= row)
        return batch[row - first].as_py()

    def _restart(self) -> None:
        self.kept = deque[tuple[int, Any]](maxlen=KEPT)  # batches by their first rows
        self.end, self.batches = 0, self._read()

    def _read(self) -> Iterator[Any]:
        batches = self.file.iter_batches(self.rows, row_groups=[self.number], columns=[self.column], use_threads=False)
        return (batch.column(0) for batch in batches)


def _whole(value: Any) -> Any:
    """A whole number that was written as a float, as pandas does where some are missing; None for NaN."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else int(value) if value.is_integer() else value


def class_names(metadata: dict[bytes, bytes] | None, key: str) -> list[str] | None:
    """The names of a column's classes, as Hugging Face's `datasets` writes them into the file's description."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        for name in [key] if key in features else key.split("."):
            features = features[name]
        return [str(name) for name in features["names"]]
    except (KeyError, TypeError, ValueError):
        return None
