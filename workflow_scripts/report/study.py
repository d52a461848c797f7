"""A finished study as the report reads it: its config, its tables and its answers, from the folder of results."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import read_csv, read_json


class Study:
    """The results of one study. What its config leaves out is empty.

    folder: `results` of a run. Raises InputError if it holds no effective config.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            text = (self.folder / "config.yaml").read_text(encoding="utf-8")
        except OSError as cause:
            raise InputError(f"{self.folder}: no results of a study, expected config.yaml in it ({cause})") from cause
        self.config_text = text
        self.config: dict[str, Any] = yaml.safe_load(text)

    def json(self, path: str) -> Any:
        return read_json(self.folder / path)

    def csv(self, path: str) -> pd.DataFrame:
        return read_csv(self.folder / path)

    def answer(self, path: str) -> list[str]:
        """The lines of an answer that a rule has written as a Markdown list."""
        lines = (self.folder / path).read_text(encoding="utf-8").splitlines()
        return [line.removeprefix("- ") for line in lines if line.strip()]

    @cached_property
    def replicated(self) -> list[str]:
        """Data sets whose replication was measured."""
        return list(self.config["replication"]["datasets"])

    @cached_property
    def similar(self) -> list[str]:
        return self.config["similarity"]["datasets"]

    @cached_property
    def rebalanced(self) -> list[str]:
        return self.config["rebalancing"]["datasets"]

    @cached_property
    def distilled(self) -> list[str]:
        return self.config["distillation"]["datasets"]

    @cached_property
    def laws(self) -> dict[str, Any]:
        return self.json("laws/laws.json")

    @cached_property
    def improvements(self) -> pd.DataFrame:
        """Gains of every arm over the original set, `part` empty where a measure has none."""
        return self.csv("rebalancing/improvements.csv").fillna({"part": ""})

    def run_of(self, generator: str, dataset: str, size: int) -> str:
        """The part of a path that names a generator trained on a subset, first seed."""
        return f"{generator}/{dataset}/size-{size}/seed-{self.config['replication']['seeds'][0]}"
