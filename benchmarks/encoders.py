"""Features of the space `perceptual` beside the same network in timm, and torchvision's MobileNet."""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import timm
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from benchmarks.bench import Bench
from workflow_scripts.features.encoders import encode
from workflow_scripts.features.pretrained import PretrainedEncoder, lite0_path, perceptual_encoder
from workflow_scripts.training.weights import read_weights

SIDE = 96  # px that images are scaled to, as the space has it
WHOLE, TURNS = 50_000, 10

TEXT = """## Encoders: features of images

Random colour images of 64 px, at {side} px, from memory to features: {count:,} of them, in {turns} parts by turns, on
one thread, in seconds of the processor, which other work on the machine changes less. The times of 50,000 images are
{times:.0f} times what was measured. Images a second are those of two cores, twice those of one. The first two networks
are the same, and so are their features.

| network | images a second | processor seconds, 50,000 images | ours over it |
|---|---|---|---|
{rows}
"""


def measure(bench: Bench) -> str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other spin, and what is measured is how busy the machine is
    try:
        return _measured(replace(bench, clock=time.process_time))
    finally:
        torch.set_num_threads(threads)


def _measured(bench: Bench) -> str:
    count = bench.size(5_000, 40)
    images = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    same = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    # Both networks hold the same layers in the same order.
    weights = [value for name, value in read_weights(lite0_path()).items() if not name.startswith("_fc.")]
    same.load_state_dict(dict(zip(same.state_dict(), weights, strict=True)))
    peers = {
        "timm, tf_efficientnet_lite0": same,
        "torchvision, mobilenet_v2": nn.Sequential(mobilenet_v2().features, nn.AdaptiveAvgPool2d(1)).eval(),
    }
    encoders = {"ours": perceptual_encoder(None, SIDE, bench.device)} | {
        name: PretrainedEncoder(network, SIDE, (127 / 255,) * 3, (128 / 255,) * 3).to(bench.device)
        for name, network in peers.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for encoder in encoders.values():
        encode(encoder, images[:32], bench.device)
    for part in np.array_split(images, TURNS):
        features = {}
        for name, encoder in encoders.items():
            taken, features[name] = bench.timed(partial(encode, encoder, part, bench.device))
            seconds[name].append(taken)
        ours, timms, _ = features.values()
        if np.abs(ours - timms).max() > 1e-3 * np.abs(ours).max():
            raise AssertionError("our features and timm's do not agree")
    whole = {name: sum(taken) * WHOLE / count for name, taken in seconds.items()}
    rows = [
        f"| {name} | {2 * WHOLE / taken:,.0f} | {taken:.0f} | {whole['ours'] / taken:.2f} |"
        for name, taken in whole.items()
    ]
    return TEXT.format(side=SIDE, count=count, turns=TURNS, times=WHOLE / count, rows="\n".join(rows))
