"""The records of a study's artifacts: what made each, and so how the rules hang together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.core.files import read_json
from workflow_scripts.core.provenance import RECORDS, RESULTS


@dataclass(frozen=True)
class Record:
    """The record of one artifact. path: below `results`; inputs: those of them that lie there, too."""

    path: str
    sha256: str
    size: int
    rule: str
    made: str
    revision: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    inputs: tuple[str, ...]


def read_records(folder: Path) -> list[Record]:
    """All records below `folder`, which is `results`."""
    records = []
    for path in sorted((folder / RECORDS).rglob("*.json")):
        record = read_json(path)
        inputs = (_below(path_of_input) for path_of_input in record["inputs"])
        records.append(
            Record(
                path=str(path.relative_to(folder / RECORDS).with_suffix("")),
                sha256=record["sha256"],
                size=record["bytes"],
                rule=record["rule"],
                made=record["made"],
                revision=record["revision"],
                versions=record["versions"],
                hardware=record["hardware"],
                inputs=tuple(below for below in inputs if below),
            )
        )
    return records


def rule_graph(records: Sequence[Record]) -> dict[str, list[str]]:
    """For each rule, the rules whose artifacts it read, in alphabetical order."""
    maker = {record.path: record.rule for record in records}
    read: dict[str, set[str]] = {}
    for record in records:
        read.setdefault(record.rule, set()).update(maker[path] for path in record.inputs if path in maker)
    return {rule: sorted(others - {rule}) for rule, others in read.items()}


def machines(records: Sequence[Record]) -> list[str]:
    """The hardware that jobs ran on, each kind once."""
    kinds = []
    for record in records:
        gpus = record.hardware.get("gpus", [])
        text = f"{record.hardware.get('processor', 'unknown processor')}, {record.hardware.get('cores', '?')} cores"
        kinds.append(text + (f", {', '.join(gpus)}" if gpus else ""))
    return sorted(set(kinds))


def _below(path: str) -> str | None:
    """What follows the last folder `results` in a path."""
    parts = Path(path).parts
    if RESULTS not in parts:
        return None
    place = len(parts) - parts[::-1].index(RESULTS)
    return os.path.join(*parts[place:]) if parts[place:] else None
