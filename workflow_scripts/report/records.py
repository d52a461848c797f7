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
    found = []
    for path in sorted((folder / RECORDS).rglob("*.json")):
        about = read_json(path)
        inputs = (_below(one) for one in about["inputs"])
        found.append(
            Record(
                path=str(path.relative_to(folder / RECORDS).with_suffix("")),
                sha256=about["sha256"],
                size=about["bytes"],
                rule=about["rule"],
                made=about["made"],
                revision=about["revision"],
                versions=about["versions"],
                hardware=about["hardware"],
                inputs=tuple(one for one in inputs if one),
            )
        )
    return found


def rule_graph(records: Sequence[Record]) -> dict[str, list[str]]:
    """For each rule, the rules whose artifacts it read, in alphabetical order."""
    maker = {record.path: record.rule for record in records}
    read: dict[str, set[str]] = {}
    for record in records:
        read.setdefault(record.rule, set()).update(maker[one] for one in record.inputs if one in maker)
    return {rule: sorted(others - {rule}) for rule, others in read.items()}


def machines(records: Sequence[Record]) -> list[str]:
    """The hardware that jobs ran on, each kind once."""
    found = []
    for record in records:
        gpus = record.hardware.get("gpus", [])
        text = f"{record.hardware.get('processor', 'unknown processor')}, {record.hardware.get('cores', '?')} cores"
        found.append(text + (f", {', '.join(gpus)}" if gpus else ""))
    return sorted(set(found))


def _below(path: str) -> str | None:
    """What follows the last folder `results` in a path."""
    parts = Path(path).parts
    if RESULTS not in parts:
        return None
    place = len(parts) - parts[::-1].index(RESULTS)
    return os.path.join(*parts[place:]) if parts[place:] else None
