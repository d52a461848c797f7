"""What the device can multiply, and what is said of a precision that it cannot."""

import logging

import pytest
import torch

from workflow_scripts.core import devices
from workflow_scripts.core.devices import is_emulated, warn_of_emulation

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
