"""SimCLR: views, the loss against its definition, resumable training, and features that know an image again."""

import numpy as np
import pytest
import torch

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.sources import open_source
from workflow_scripts.features.presets import SimCLRSettings
from workflow_scripts.features.simclr import contrastive_loss, draw_views, load_encoder, save_encoder, train_encoder
from workflow_scripts.training.checkpoints import Checkpoints

TINY = SimCLRSettings(steps=10, batch=16, width=4, projection=8)


@pytest.fixture(scope="module")
def clothing() -> torch.Tensor:
    images, _ = open_source({"source": "shipped", "name": "fashion-mnist-test"}).block(0, 600)
    return torch.from_numpy(images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).round().astype(np.uint8))[..., None]


def test_views_stay_in_range_and_differ_from_image_to_image() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16)
    views = draw_views(image.expand(8, -1, -1, -1), 0.3, 0.4)
    assert views.shape == (8, 3, 16, 16)
    assert views.min() >= 0
    assert views.max() <= 1
    assert len(torch.unique(views.flatten(1), dim=0)) == 8


def test_the_loss_is_its_definition() -> None:
    torch.manual_seed(0)
    z = torch.randn(6, 5)
    cosine = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=-1) / 0.5
    expected = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        expected -= float(cosine[i, (i + 3) % 6] - torch.logsumexp(cosine[i, others], 0)) / 6
    assert float(contrastive_loss(z, 0.5)) == pytest.approx(expected, rel=1e-5)


def test_resumed_training_gives_the_same_bytes(clothing: torch.Tensor, tmp_path) -> None:
    whole, curve = train_encoder(clothing, TINY, 0, Checkpoints(tmp_path / "whole"))

    def kill(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_encoder(clothing, TINY, 0, Checkpoints(tmp_path / "cut", 0.0), kill)
    resumed, again = train_encoder(clothing, TINY, 0, Checkpoints(tmp_path / "cut"))
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert again == curve
    files = tmp_path / "weights.safetensors", tmp_path / "network.json"
    save_encoder(*files, whole)
    assert torch.equal(load_encoder(*files, torch.device("cpu"))(clothing[:9]), whole(clothing[:9]))
    files[0].write_bytes(b"torn")
    with pytest.raises(InputError, match=r"weights\.safetensors: not the weights"):
        load_encoder(*files, torch.device("cpu"))


def test_a_diverged_training_stops_and_says_what_to_change(clothing: torch.Tensor, tmp_path) -> None:
    hot = SimCLRSettings(**{**vars(TINY), "learning_rate": 1e30})
    with pytest.raises(InputError, match="training diverged"):
        train_encoder(clothing, hot, 0, Checkpoints(tmp_path, 0.0))


@pytest.mark.slow
def test_a_changed_image_is_known_again(clothing: torch.Tensor, tmp_path) -> None:
    """Crop and light change the pixels; the features still put the original among the nearest five of 300, mostly."""
    encoder, curve = train_encoder(clothing, SimCLRSettings(steps=160, batch=64, width=8), 0, Checkpoints(tmp_path))
    assert curve[-1][1] < curve[0][1]
    torch.manual_seed(1)
    originals = clothing[:300]
    changed = (draw_views(originals.permute(0, 3, 1, 2) / 255, 0.5, 0.4) * 255).round().byte().permute(0, 2, 3, 1)
    with torch.inference_mode():
        distances = torch.cdist(encoder(changed), encoder(originals))
    by_pixel = torch.cdist(changed.flatten(1).float(), originals.flatten(1).float())
    own = torch.arange(300)[:, None]
    known, known_by_pixel = ((near.argsort(1)[:, :5] == own).any(1).float().mean() for near in (distances, by_pixel))
    assert known > 0.4
    assert known > known_by_pixel
