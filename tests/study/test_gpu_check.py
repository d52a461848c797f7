"""The check of a GPU, on a CPU: what can be tried here holds, and what cannot is said to be not here."""

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from workflow_scripts.core.devices import oldest_driver
from workflow_scripts.study import gpu_check
from workflow_scripts.study.gpu_check import LEAST, ON_CPU, Trial, as_table, check, main
from workflow_scripts.study.installation import NotHere, same_after_kill, same_in_image


@pytest.mark.slow
def test_the_check_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(gpu_check, "prepare_torch", lambda threads, gpus: [torch.device("cpu")])
    try:
        assert main(tmp_path) == 0
    finally:
        torch.set_num_threads(threads)
    claims = json.loads((tmp_path / "gpu_check.json").read_text())["claims"]
    verdicts = {claim["claim"]: claim["verdict"] for claim in claims}
    for family in LEAST:
        assert verdicts[f"Two trainings of {family} end in the same bytes."] == "PASS"
        assert verdicts[f"A training of {family} that is stopped and resumed ends in the same bytes."] == "PASS"
        long = "PASS" if family == ON_CPU else "NOT HERE"
        assert verdicts[f"Compiled steps of {family} train as others do, up to rounding."] == long
        assert verdicts[f"Two devices train {family} as one does, up to rounding."] == long
        assert verdicts[f"A step of {family} has no more operations than is stated."] == "PASS"
        assert verdicts[f"A step of {family} never waits for the GPU."] == "NOT HERE"
    assert verdicts["Nearest neighbours are those of the CPU."] == "PASS"
    assert verdicts["The installed packages are those of the lock."] == "PASS"
    assert verdicts[str(same_in_image.__doc__)] in ("PASS", "NOT HERE")
    assert verdicts[str(same_after_kill.__doc__)] == "PASS"
    assert (tmp_path / "gpu_check.md").read_text().count("\n| ") == 1 + len(claims)


def test_what_goes_wrong_in_a_claim_is_a_verdict_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(trial: Trial) -> str:
        """Bytes are the same."""
        raise AssertionError("1 of 3 tensors differ | the first")

    def absent(trial: Trial) -> str:
        """There are two."""
        raise NotHere("there is one")

    monkeypatch.setattr(gpu_check, "OF_DEVICE", (differs, absent))
    monkeypatch.setattr(gpu_check, "OF_FAMILY", ())
    monkeypatch.setattr(gpu_check, "OF_MACHINE", ())
    claims = list(check(Trial.on([torch.device("cpu")])))
    assert [claim.verdict for claim in claims] == ["FAIL", "NOT HERE"]
    assert "| FAIL | Bytes are the same. | AssertionError: 1 of 3 tensors differ / the first |" in as_table("x", claims)


@pytest.mark.skipif(torch.version.cuda is None, reason="the page is about PyTorch's CUDA build")
def test_the_page_names_the_driver_and_the_gpus_that_this_pytorch_needs() -> None:
    page = " ".join((ROOT / "docs/gpu.md").read_text(encoding="utf-8").split())
    oldest = min(int(name[3:]) for name in torch.cuda.get_arch_list() if name.startswith("sm_"))
    assert f"an NVIDIA driver of version {oldest_driver()} or newer" in page
    assert f"a GPU of compute capability {oldest // 10}.{oldest % 10} or newer" in page
