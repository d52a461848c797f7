"""Features of torchvision's classifiers from local weights, and joint spaces."""

import urllib.error

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor

from workflow_scripts.core.errors import InputError
from workflow_scripts.core.files import sha256
from workflow_scripts.features.encoders import encode, join, torchvision_encoder
from workflow_scripts.features.presets import simclr_settings
from workflow_scripts.features.pretrained import perceptual_encoder
from workflow_scripts.features.simclr import Encoder
from workflow_scripts.metrics.neighbours import nearest_neighbours

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)


def saved(tmp_path, model, suffix, **options):
    torch.manual_seed(0)
    network = get_model(model, weights=None, **options).eval()
    path = tmp_path / f"{model}{suffix}"
    save_file(network.state_dict(), path) if suffix == ".safetensors" else torch.save(network.state_dict(), path)
    return network, path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_features_are_what_the_last_layer_sees(tmp_path, suffix):
    network, path = saved(tmp_path, "resnet18", suffix, num_classes=7)  # fine-tuned: another number of classes
    encoder = torchvision_encoder("resnet18", str(path), sha256(path), 40, CPU)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.from_numpy(IMAGES) / 255 - mean) / std).permute(0, 3, 1, 2)
    expected = create_feature_extractor(network, {"flatten": "features"})(x)["features"]
    features = encode(encoder, IMAGES, CPU, batch=2)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    grey = encode(encoder, IMAGES[..., :1], CPU)
    np.testing.assert_allclose(grey, encode(encoder, np.repeat(IMAGES[..., :1], 3, axis=-1), CPU), atol=1e-5)


@pytest.mark.parametrize("kind", ["simclr", "perceptual", "torchvision"])
def test_features_are_the_same_to_the_bit_however_many_threads_compute_them(tmp_path, kind):
    if kind == "simclr":
        encoder = Encoder(simclr_settings("tiny", {}), 3).eval()
    elif kind == "perceptual":
        encoder = perceptual_encoder(None, 64, CPU)
    else:
        encoder = torchvision_encoder("resnet18", str(saved(tmp_path, "resnet18", ".pth")[1]), None, 40, CPU)
    images = np.random.default_rng(0).integers(0, 256, (150, 40, 40, 3), dtype=np.uint8)
    before, features = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            features.append(encode(encoder, images, CPU))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert features[0].tobytes() == features[1].tobytes() == features[2].tobytes()
    with torch.inference_mode():
        alone = encoder(torch.from_numpy(images[32:64])).numpy()
    np.testing.assert_allclose(features[0][32:64], alone, rtol=1e-4, atol=1e-5)


def test_inception_gives_its_2048_pooled_features_at_its_own_resolution(tmp_path):
    _, path = saved(tmp_path, "inception_v3", ".pth", init_weights=False)
    encoder = torchvision_encoder("inception_v3", str(path), None, None, CPU)
    assert encoder.resolution == 299
    assert encode(encoder, IMAGES[:2], CPU).shape == (2, 2048)


def test_wrong_weights_are_named(tmp_path, monkeypatch):
    _, path = saved(tmp_path, "resnet18", ".pth")
    with pytest.raises(InputError, match=r"not the weights of torchvision's resnet34"):
        torchvision_encoder("resnet34", str(path), None, None, CPU)
    with pytest.raises(InputError, match=r"expected 0{64}"):
        torchvision_encoder("resnet18", str(path), "0" * 64, None, CPU)
    with pytest.raises(InputError, match=r"absent.pth: not found"):
        torchvision_encoder("resnet18", str(tmp_path / "absent.pth"), None, None, CPU)
    with pytest.raises(InputError, match=r"no model 'resnet1'"):
        torchvision_encoder("resnet1", None, None, None, CPU)
    torn = tmp_path / "torn.pth"
    torn.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"torn.pth: not readable as weights"):
        torchvision_encoder("resnet18", str(torn), None, None, CPU)


def test_features_that_are_not_finite_are_refused(tmp_path):
    network, path = saved(tmp_path, "resnet18", ".pth")
    state = network.state_dict()
    state["bn1.weight"][3] = torch.nan
    torch.save(state, path)
    with pytest.raises(InputError, match="not finite"):
        encode(torchvision_encoder("resnet18", str(path), None, 40, CPU), IMAGES, CPU)


def test_absent_weights_without_a_network_say_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(InputError, match=r"inception_v3_google-\w+\.pth .* put it into .*checkpoints.*spaces\."):
        torchvision_encoder("inception_v3", None, None, None, CPU)
    damaged = tmp_path / "hub" / "checkpoints" / "inception_v3_google-0cc3c7bd.pth"
    damaged.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"damaged"):
        torchvision_encoder("inception_v3", None, None, None, CPU)


def test_the_parts_of_a_joint_space_weigh_alike_whatever_their_scale():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (300, 6, 6, 1), dtype=np.uint8)
    features = rng.standard_normal((300, 8)).astype(np.float32)
    queries = pixels[:20], features[:20]
    joint = join([(pixels, pixels), (features, features)])
    scaled = join([(pixels, pixels), (1000 * features + 5, 1000 * features + 5)])
    np.testing.assert_allclose(joint, scaled, atol=1e-3)
    # Mean squared distance of independent rows, by part.
    apart = [np.square(part[:150] - part[150:]).sum(axis=1).mean() for part in (joint[:, :36], joint[:, 36:])]
    assert apart == pytest.approx([2, 2], rel=0.15)
    nearest = nearest_neighbours(join(list(zip((pixels, features), queries, strict=True))), joint, 1)
    np.testing.assert_array_equal(nearest.indices[:, 0], np.arange(20))
