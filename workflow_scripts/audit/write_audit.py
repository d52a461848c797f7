"""Write the answer of an audit: as JSON, in words, its pairs, and as one HTML file. Rule: write_audit."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.audit.answer import passes, text
from workflow_scripts.audit.page import write_page
from workflow_scripts.audit.verdict import RULE
from workflow_scripts.core.files import read_json, read_parquet, write_json, write_parquet, write_text
from workflow_scripts.core.job import run
from workflow_scripts.core.provenance import REVISION, versions
from workflow_scripts.report.study import Study


def main(snakemake: Any) -> None:
    files, results, settings = snakemake.input, snakemake.output, snakemake.params.audit
    dataset, revision = snakemake.wildcards.dataset, os.environ.get(REVISION, "unknown")
    audits = dict(zip(snakemake.params.samples, map(read_json, files.measured), strict=True))
    wanted = settings["wanted_percentage"]
    answer = {"dataset": dataset, "wanted_percentage": wanted, "passes": passes(audits, wanted), "rule": RULE}
    write_json(results.answer, {**answer, "revision": revision, "versions": versions(), "audits": audits})
    write_text(results.text, text(audits, settings["redact"]))
    pairs = [read_parquet(path).assign(samples=name) for name, path in zip(audits, files.pairs, strict=True)]
    write_parquet(results.pairs, pd.concat(pairs, ignore_index=True))
    study = Study(Path(files.config).parent)
    write_text(results.report, write_page(study, dataset, audits, {**settings, "revision": revision}))


run(main, snakemake)
