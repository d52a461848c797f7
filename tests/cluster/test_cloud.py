"""Artifacts in object storage, by a real server that speaks S3, and the plan of a run on Kubernetes."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import ROOT, SMOKE, not_here, replication_study, run_snakemake

pytestmark = pytest.mark.cloud
NEEDED = ("snakemake_storage_plugin_s3", "snakemake_executor_plugin_kubernetes", "moto")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an S3 server on this machine, with an empty bucket `study` and one `data`."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        not_here("cloud", f"{', '.join(missing)} not installed; .ci/prepare does it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        for bucket in ("study", "data"):
            client(url).create_bucket(Bucket=bucket)
        yield url
    finally:
        process.terminate()
        process.wait()


def client(url: str):
    import boto3

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=url, **keys)


def run(folder: Path, url: str, profile: str, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    keys = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "key", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret"}
    engine = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command = [*engine, "--workflow-profile", str(ROOT / "profiles" / profile), f"--configfile={config}"]
    command += ["--default-storage-prefix=s3://study/one", f"--storage-s3-endpoint-url={url}", *arguments]
    environment = os.environ | keys | {"AWS_DEFAULT_REGION": "us-east-1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_images_from_a_bucket_and_results_in_one(server: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    client(server).upload_file(str(tmp_path / "images.npy"), "data", "images.npy")
    study = replication_study()
    mine = {"source": "npy", "images": "s3://data/images.npy", "resolution": 16, "color": "grey", "held_out": 30}
    study["datasets"] = {"mine": mine}
    study["replication"]["datasets"] = {"mine": {"sizes": [20]}}
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    storage = ("--default-storage-provider=s3", "--cores=2")
    wanted = ["results/complexity/mine/size-20/seed-0.json", "results/data/mine/manifest.json"]
    done = run(tmp_path, server, "default", config, *storage, "--", *wanted)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    stored = {item["Key"] for item in client(server).list_objects_v2(Bucket="study")["Contents"]}
    assert {f"one/{name}" for name in wanted} <= stored
    packed = tmp_path / "packed.npy"
    client(server).download_file("study", "one/results/data/mine/images.npy", str(packed))
    np.testing.assert_array_equal(np.load(packed), images)
    assert not (tmp_path / "results/data").exists()
    again = run(tmp_path, server, "default", config, *storage, "--dry-run", "--", *wanted)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_only_the_profile_differs_on_kubernetes(server: str, tmp_path: Path) -> None:
    """Each rule has the jobs that it has here, also rules whose files only wildcard constraints tell apart: teachers of
    the user's own, or trained; and a rule's constraints hold in a bucket, without which planning takes minutes."""
    study = yaml.safe_load(SMOKE.read_text())
    (tmp_path / "mine.pth").touch()
    own = {"architecture": "resnet18", "weights": str(tmp_path / "mine.pth")}
    study["distillation"] |= {"checkpoints": {"mine": own}, "ensembles": [["none", "mine"]], "protocol": "stored"}
    study["spaces"]["both"] = {"kind": "joint", "parts": ["pixel", "simclr"]}
    study["replication"] |= {"spaces": ["pixel", "both"], "shards": 2}
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study))
    plan = run(tmp_path, server, "kubernetes", config, "--dry-run")
    assert plan.returncode == 0, plan.stdout[-4000:] + plan.stderr[-4000:]
    here = run_snakemake(tmp_path, "--dry-run", config=config)
    counts = [dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)) for done in (plan, here)]
    assert counts[0] == counts[1]
    assert {"take_teacher", "train_teacher", "search_shard"} <= set(counts[0])
