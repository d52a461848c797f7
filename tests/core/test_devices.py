"""What the device can multiply, what is said of a precision that it cannot, and of a GPU that cannot be used."""

import logging
from pathlib import Path

import pytest
import torch

from workflow_scripts.core import devices
from workflow_scripts.core.devices import (
    be_deterministic,
    in_batches,
    is_emulated,
    or_on_cpu,
    prepare_torch,
    training_kernels,
    warn_of_emulation,
)
from workflow_scripts.core.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "bfloat16", "int8"),
    [
        ({"avx2": True, "avx512_bf16": False}, True, True),
        ({"avx2": True, "avx_vnni": True}, True, False),
        ({"avx512_bf16": True, "avx512_vnni": True}, False, False),
        ({"neon": True}, True, True),
    ],
)
def test_formats_without_instructions_are_emulated(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], bfloat16: bool, int8: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert (is_emulated(torch.bfloat16, CPU), is_emulated(torch.int8, CPU)) == (bfloat16, int8)
    assert not is_emulated(torch.int8, torch.device("cuda"))
    assert not is_emulated(torch.float32, CPU)


def test_an_emulated_precision_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "copycat")
    monkeypatch.setattr(devices, "is_emulated", lambda kind, where: True)
    warn_of_emulation("float32", CPU)
    assert not caplog.records
    warn_of_emulation("bfloat16", CPU)
    assert "bfloat16" in caplog.text
    assert "float32 in the config's `overrides`" in caplog.text


@pytest.mark.parametrize(("capability", "warns"), [((7, 5), True), ((8, 0), False), ((9, 0), False)])
def test_a_turing_gpu_emulates_bfloat16_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capability: tuple[int, int], warns: bool
) -> None:
    caplog.set_level(logging.WARNING, "copycat")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    warn_of_emulation("bfloat16", torch.device("cuda"))
    assert ("on Tesla T4, which has no instructions" in caplog.text) == warns


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose only GPU this job takes."""
    monkeypatch.setattr(devices, "take_devices", lambda count: ["0"])
    monkeypatch.setattr(devices, "be_deterministic", lambda: None)


@pytest.mark.parametrize(
    ("version", "advice"), [("570.86.15", "Renew the driver"), ("590.44.01", "Restart the machine")]
)
@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_that_cuda_does_not_start_on_is_an_error_that_names_the_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, advice: str
) -> None:
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12080).\nMore lines.")

    driver = tmp_path / "version"
    driver.write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Thu Jan 23\nGCC version: 12\n")
    monkeypatch.setattr(devices, "DRIVER", driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(InputError) as caught:
        prepare_torch(torch.get_num_threads())
    assert "too old (found version 12080)." in str(caught.value)
    assert f"The NVIDIA driver is {version}; this PyTorch" in str(caught.value)
    assert advice in str(caught.value)
    assert "CUDA_VISIBLE_DEVICES= snakemake" in str(caught.value)
    if torch.version.cuda is not None:
        assert "needs 5" in str(caught.value)  # CUDA 12 and 13


@pytest.mark.usefixtures("one_gpu")
def test_a_stray_name_of_a_gpu_on_a_machine_without_one_only_warns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "none")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert prepare_torch(torch.get_num_threads()) == [CPU]
    assert "this machine has no NVIDIA driver" in caplog.text


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_older_than_any_kernel_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "is_available": lambda: True, "device_count": lambda: 1, "get_device_capability": lambda device: (6, 1),
        "get_device_name": lambda device: "GTX 1080", "get_arch_list": lambda: ["sm_75", "sm_90", "compute_90"],
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    with pytest.raises(InputError, match=r"GTX 1080 has compute capability 6\.1; this PyTorch has kernels for 7\.5"):
        prepare_torch(torch.get_num_threads())


@pytest.mark.parametrize(("deterministic", "mode"), [(True, "error"), (False, "warn")])
def test_a_training_refuses_kernels_that_are_not_deterministic_and_convolves_in_tf32(
    deterministic: bool, mode: str
) -> None:
    be_deterministic()
    with training_kernels(deterministic):
        assert torch.get_deterministic_debug_mode() == ["default", "warn", "error"].index(mode)
        assert torch.backends.cudnn.allow_tf32
    assert torch.get_deterministic_debug_mode() == 1
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_where_gpu_memory_is_short_fewer_are_computed_at_once() -> None:
    def work(rows: slice) -> list[int]:
        if rows.stop - rows.start > 3:
            raise RuntimeError("CUDA error: out of memory")
        return list(range(rows.start, rows.stop))

    parts = list(in_batches(work, 10, 8))
    assert [number for part in parts for number in part] == list(range(10))
    assert max(map(len, parts)) == 2  # 8, 4, 2
    with pytest.raises(RuntimeError, match="another fault"):
        list(in_batches(lambda _: (_ for _ in ()).throw(RuntimeError("another fault")), 10, 8))


def test_what_does_not_fit_a_gpu_is_computed_on_the_cpu_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    gpu = torch.device("cuda")

    def work(device: torch.device) -> str:
        if device == gpu:
            raise RuntimeError("CUDA error: out of memory")
        return device.type

    assert or_on_cpu(work, gpu) == "cpu"
    assert "GPU memory is short" in caplog.text
    assert or_on_cpu(lambda device: device.type, gpu) == "cuda"
    with pytest.raises(RuntimeError, match="another fault"):
        or_on_cpu(lambda _: (_ for _ in ()).throw(RuntimeError("another fault")), gpu)
