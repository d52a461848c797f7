"""The parts of an audit by themselves."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import softplus

from tests.conftest import run_script
from workflow_scripts.audit.alignment import align
from workflow_scripts.audit.copies import copies
from workflow_scripts.audit.gain import rare_gain
from workflow_scripts.audit.halves import nearest_halves
from workflow_scripts.audit.kinds import note, told_apart
from workflow_scripts.audit.measures import by_model, most_copied
from workflow_scripts.audit.planting import CHANGES, plant
from workflow_scripts.audit.search import MOST_MEMBERS, scored_images, search
from workflow_scripts.audit.variety import distinct_share, look_swapped, quality
from workflow_scripts.audit.verdict import COPIES, NONE, judge
from workflow_scripts.core.files import write_npy, write_parquet
from workflow_scripts.generators.diffusion import Diffusion
from workflow_scripts.generators.families import build_model, save_generator
from workflow_scripts.generators.model import ImageShape, from_uint8
from workflow_scripts.generators.presets import DiffusionSettings, settings_for
from workflow_scripts.replication.verdicts import DISAGREES, UNKNOWN
from workflow_scripts.training.weights import save_weights


def textures(count: int, side: int = 24, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth random images, uint8 (count, side, side, channels)."""
    coarse = torch.from_numpy(np.random.default_rng(seed).random((count, channels, 6, 6)))
    images = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return (images.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def test_an_aligned_distance_is_that_of_the_best_shift_by_brute_force() -> None:
    """Shifted by whole pixels; views that are zoomed or turned may only come nearer."""
    images = textures(4, 13, seed=2)
    queries, references = images[:3, :12, 1:], images[:, 1:, :12]
    aligned = align(queries, references, [], torch.device("cpu"))
    for i, query in enumerate(queries / 255):
        best = np.inf
        for y, x in np.ndindex(3, 3):  # shifts by -1, 0 and 1 px
            a = query[max(0, y - 1) : 12 + min(0, y - 1), max(0, x - 1) : 12 + min(0, x - 1)]
            b = references[:, max(0, 1 - y) : 12 + min(0, 1 - y), max(0, 1 - x) : 12 + min(0, 1 - x)] / 255
            a, b = ((part - part.mean((-3, -2, -1), keepdims=True)) for part in (a, b))
            a, b = (part / part.std((-3, -2, -1), keepdims=True) for part in (a, b))
            best = min(best, float(np.sqrt(((a - b) ** 2).mean(axis=(1, 2, 3))).min()))
        assert best < 1e-6
        assert aligned.distance[i] < 0.01
        assert aligned.index[i] == i
        assert aligned.tiles[i] < 0.05


@pytest.mark.parametrize("side", [24, 40])
def test_moves_and_light_are_undone_and_the_image_is_named(side: int) -> None:
    images = textures(200, side)
    planted = plant(images[:10], np.arange(10), 0)
    fresh = align(textures(50, side, seed=9), images, [], torch.device("cpu")).distance.min()
    aligned = align(planted.images, images, [], torch.device("cpu"))
    for change in set(planted.change) - {"hue", "half of another image"}:
        chosen = planted.change == change
        assert (aligned.index == planted.source)[chosen].mean() >= 0.9, change
        assert np.median(aligned.distance[chosen]) < 0.6 * fresh, change


@pytest.mark.parametrize(("side", "undone"), [(8, False), (32, True)])
def test_turns_are_undone_where_they_move_the_edge_by_a_pixel_or_more(side: int, undone: bool) -> None:
    """Tiny images that are turned by less look like many others, and copies would not stand out."""
    images = textures(30, side)
    planted = plant(images, np.arange(30), 0)
    turned = planted.images[planted.change == "rotated by 10 degrees"]
    ours, theirs = (part - part.mean(axis=(1, 2, 3), keepdims=True) for part in (turned / 255, images / 255))
    ours, theirs = (part / part.std(axis=(1, 2, 3), keepdims=True) for part in (ours, theirs))
    unmoved = np.sqrt(((ours - theirs) ** 2).mean(axis=(1, 2, 3)))
    aligned = align(turned, images, [], torch.device("cpu")).distance
    assert (np.median(aligned / unmoved) < 0.3) if undone else (np.median(aligned / unmoved) > 0.99)


def test_half_of_an_image_is_found_whatever_the_other_half_and_the_colours() -> None:
    images = textures(200)
    planted = plant(images[:10], np.arange(10), 0)
    fresh = nearest_halves(textures(50, seed=9), images, torch.device("cpu")).distances.min()
    for change in ("none", "hue", "contrast x 0.7", "half of another image"):
        near = nearest_halves(planted.images[planted.change == change], images, torch.device("cpu"))
        assert near.distances.max() < 0.5 * fresh, change
        assert (near.indices[:, 0] == np.arange(10)).all() or change == "half of another image"
    blank = nearest_halves(np.full((1, 24, 24, 3), 90, np.uint8), images, torch.device("cpu"))
    assert blank.distances[0, 0] == 2.0


def test_every_change_gives_images_of_the_same_shape_and_changes_them_as_named() -> None:
    images = textures(4)
    planted = plant(images, np.array([7, 8, 9, 5]), 0)
    assert planted.images.shape == (4 * len(CHANGES), 24, 24, 3)
    assert planted.source[:4].tolist() == [7, 8, 9, 5]
    by = {change: planted.images[planted.change == change] for change in CHANGES}
    assert (by["none"] == images).all()
    assert (by["mirrored"] == images[:, :, ::-1]).all()
    halves = by["half of another image"]
    assert (halves[:, :, :12] == images[:, :, :12]).all()
    assert not (halves[:, :, 12:] == images[:, :, 12:]).all()
    assert all((part != images).any() for change, part in by.items() if change != "none")
    assert abs(by["JPEG, quality 50"].astype(int) - images).mean() < 20
    grey = plant(images[..., :1], np.arange(4), 0)
    assert "hue" not in grey.change


def test_planted_copies_lie_within_the_interval_and_none_are_found_in_none() -> None:
    random = np.random.default_rng(0)
    held_out, count = random.random(1000), 4000
    for planted in (0.0, 0.02, 0.2):
        distances = np.where(np.arange(count) < planted * count, 0.0, random.random(count))
        measured = copies("calibrated-0.01", 0.01, distances, np.arange(count), held_out, np.ones(1))
        assert measured.low <= 100 * planted <= measured.high
        assert (measured.low > 0) == (planted > 0)
        assert np.isclose(measured.within, measured.chance + measured.percentage)


def test_repeated_samples_count_once() -> None:
    random = np.random.default_rng(0)
    samples, real = (random.random((count, 8)).astype(np.float32) for count in (1200, 300))
    cpu = torch.device("cpu")
    assert distinct_share(samples, real, cpu) > 0.95
    repeated = np.repeat(samples[:60], 10, axis=0)
    assert np.isclose(distinct_share(repeated, real[:0], cpu), 0.1)
    moved = repeated + 1e-3 * random.random(repeated.shape).astype(np.float32)
    assert distinct_share(moved, real[:0], cpu) == 1.0
    assert abs(distinct_share(moved, real, cpu) - 0.1) < 0.01


def test_of_many_training_images_a_part_is_asked_and_all_where_it_is_wanted() -> None:
    members, held_out = np.arange(MOST_MEMBERS + 10), np.arange(90_000, 90_020)
    assert len(scored_images(members, held_out, 0, False)) == MOST_MEMBERS + 20
    assert len(scored_images(members, held_out, 0, True)) == MOST_MEMBERS + 30


def test_swapped_sets_are_suspected_and_few_training_images_are_not() -> None:
    random = np.random.default_rng(0)
    held_out, samples, few = (random.normal(size=(count, 8)).astype(np.float32) for count in (400, 300, 12))
    assert not look_swapped(quality(samples, held_out, few, torch.device("cpu")))
    generated = (random.normal(size=(300, 8)) + 1.5).astype(np.float32)
    assert look_swapped(quality(samples, held_out, generated, torch.device("cpu")))


def test_sets_of_one_kind_are_told_apart_as_often_as_a_test_errs_and_others_are_told() -> None:
    """More features than rows, and fewer; held-out images that come in groups of ten."""
    random, apart = np.random.default_rng(1), []
    for width in (4, 300):
        told = []
        for _ in range(100):
            training, held_out = random.normal(size=(60, width)), random.normal(size=(80, width))
            told.append(told_apart(training, held_out, (np.arange(60), np.arange(80))).auc_low > 0.5)
        assert np.mean(told) < 0.08
        moved = told_apart(training, held_out + 4 / np.sqrt(width), (np.arange(60), np.arange(80)))
        apart.append(moved.auc_low)
    assert min(apart) > 0.5
    groups = np.repeat(np.arange(20), 10)
    told = []
    for _ in range(100):
        parts = [(random.normal(size=(20, 6))[groups] + 0.3 * random.normal(size=(200, 6))) for _ in range(2)]
        told.append(told_apart(*parts, (groups, 20 + groups)).auc_low > 0.5)
    assert np.mean(told) < 0.1


def test_a_note_says_that_training_and_held_out_images_are_of_two_kinds() -> None:
    random = np.random.default_rng(0)
    training, held_out = random.normal(size=(100, 5)), random.normal(size=(100, 5)) + 1
    own = np.arange(100)
    assert "told apart (AUC 0." in note(asdict(told_apart(training, held_out, (own, own))), "pixel")
    assert note(asdict(told_apart(training, training[:0], (own, own[:0]))), "pixel") == ""


def test_both_ways_to_solve_a_classifier_give_the_same() -> None:
    random = np.random.default_rng(0)
    training, held_out = random.normal(size=(40, 12)), random.normal(size=(40, 12)) + 0.5
    narrow = told_apart(training, held_out, (np.arange(40), np.arange(40)))
    padded = (np.pad(part, ((0, 0), (0, 60))) for part in (training, held_out))
    wide = told_apart(*padded, (np.arange(40), np.arange(40)))  # a sixth of the mean variance, so of the penalty
    assert wide.auc is not None
    assert narrow.auc is not None
    assert abs(narrow.auc - wide.auc) < 0.02


def test_scores_below_0_are_no_reason_to_tell_more() -> None:
    """Of a discriminator: the threshold that lies below all controls lies below members like them, too."""
    scores = np.random.default_rng(0).normal(-50, 1, 300)
    table = pd.DataFrame({"image": np.arange(300), "discriminator": scores})
    counts = []
    for moved in (0.0, 100.0):  # all below 0, and all above it
        path = table.assign(discriminator=scores + moved)
        controls = np.sort(path["discriminator"].to_numpy()[200:])
        told = _told_of(path)
        counts.append(told["counts"][0])
        assert told["counts"][0] <= (path["discriminator"].to_numpy()[:200] <= controls[0]).sum()
    assert counts[0] <= counts[1] + 1


def _told_of(table: pd.DataFrame) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(Path(folder) / "losses.parquet", table)
        measured = by_model(str(Path(folder) / "losses.parquet"), np.arange(200), np.arange(200, 300), np.arange(300))
    assert measured is not None
    return dict(measured["told"][0])


def test_the_image_that_is_copied_most_stands_beside_held_out_images_that_come_as_near() -> None:
    def rows(index: list[int], distance: list[float]) -> pd.DataFrame:
        return pd.DataFrame(
            {"space": "pixel", "kind": "query", "query": np.arange(len(index)), "index": index, "distance": distance}
        )

    table = most_copied(
        rows([3, 3, 5, 3], [0.1, 0.2, 0.1, 0.9]), rows([5, 5, 3], [0.1, 0.3, 0.9]), {"pixel": 0.4},
        np.array([f"{i}.png" for i in range(6)]), np.zeros(6, int), np.arange(6),
    )  # fmt: skip
    assert table[["origin", "samples", "held_out"]].values.tolist() == [["3.png", 2, 0], ["5.png", 1, 2]]


def test_searches_of_parts_of_the_samples_share_the_error_of_near_duplicates() -> None:
    """Of a hundred parts each with an error of 2 %, most audits would find some by chance."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(400, 6)).astype(np.float32)
    queries = np.concatenate([vectors[:1] + 0.004, random.normal(size=(19, 6)).astype(np.float32)])
    pixels = random.integers(0, 256, (400, 2, 2, 1), dtype=np.uint8), np.zeros((20, 2, 2, 1), dtype=np.uint8)
    nobody, numbers, cpu = np.empty(0, dtype=np.int64), np.arange(20), torch.device("cpu")
    marked = {}
    for shards in (1, 10**6):
        rows = search({"f": vectors}, {"f": queries}, pixels, np.arange(400), nobody, numbers, cpu, shards)
        marked[shards] = rows.loc[rows["duplicates"] > 0, "query"].tolist()
    assert marked == {1: [0], 10**6: []}


def measured_in_a_space(certain: float, z: float) -> dict[str, Any]:
    """What a verdict reads: 10 % of samples within the threshold, and C_T."""
    counted = {"label": "calibrated-0.01", "within": 10.0, "percentage": 9.0, "low": 1.0, "high": 20.0, "images": 2}
    copied = [counted | {"certain": certain, "p_value": 1e-6}]
    return {"copies": copied, "data_copying": {"z": z}, "data_copying_control": {"z": 0.0}}


def test_copies_are_found_where_the_lower_end_holds_in_all_spaces_together() -> None:
    for certain, z, verdict in ((0.5, 0.0, COPIES), (0.0, 0.0, NONE), (0.0, -12.0, DISAGREES)):
        assert judge({"pixel": measured_in_a_space(certain, z)}, 1000, 1.0, 1000, 1.0).verdict == verdict


def test_few_distinct_samples_do_not_hide_a_measure_that_shows_copying() -> None:
    for z, verdict in ((0.0, UNKNOWN), (-12.0, DISAGREES)):
        judged = judge({"pixel": measured_in_a_space(0.0, z)}, 1000, 0.06, 1000, 1.0)
        assert judged.verdict == verdict
        assert "60" in judged.sentence


def test_held_out_images_of_few_people_are_not_enough() -> None:
    judged = judge({"pixel": measured_in_a_space(0.0, 0.0)}, 1000, 1.0, 1000, 1.0, groups=5)
    assert judged.verdict == UNKNOWN
    assert "5 groups of held-out images" in judged.sentence
    assert "at least 8 groups" in judged.advice


def test_a_diffusion_model_is_asked_for_its_losses_of_its_subset_and_of_held_out_images(tmp_path: Path) -> None:
    settings = DiffusionSettings(steps=1, batch=1, widths=(8, 8), layers=1)
    model = Diffusion(settings, ImageShape(8, 3), torch.device("cpu"))
    files = {name: tmp_path / name for name in ("images", "labels", "order", "held_out", "weights", "network")}
    save_generator(files["weights"], files["network"], "diffusion", model)
    write_npy(files["images"], textures(30, 8))
    write_parquet(files["labels"], pd.DataFrame({"label": np.zeros(30, np.int32)}))
    write_npy(files["order"], np.arange(20)[::-1])
    write_npy(files["held_out"], np.arange(20, 30))
    losses = tmp_path / "losses.parquet"
    run_script("audit/score_by_generator", files, {"losses": losses}, {"split": "size-12.seed-0", "seed": 0})
    table = pd.read_parquet(losses)
    assert table["image"].tolist() == list(range(8, 30))
    assert (table["denoising loss"] > 0).all()
    measured = by_model(str(losses), np.arange(8, 20), np.arange(20, 30), np.arange(30))
    assert measured is not None
    assert (measured["members"], measured["controls"]) == (12, 10)
    assert by_model(None, np.arange(8, 20), np.arange(20, 30), np.arange(30)) is None


@pytest.mark.parametrize("family", ["biggan", "stylegan2"])
@pytest.mark.parametrize("steps", [0, 80])
def test_a_discriminator_is_asked_and_tells_the_images_that_it_was_trained_on(
    family: str, steps: int, tmp_path: Path
) -> None:
    """One that was trained to tell them from held-out images tells all; an untrained one none."""
    torch.manual_seed(1)
    overrides = {"biggan": {"width": 8}, "stylegan2": {"channels": 64, "widest": 8, "latent": 4}}
    settings = settings_for(family, "tiny", overrides[family])
    model = build_model(settings, ImageShape(8, 3), torch.device("cpu"))
    images, members = textures(80, 8), 30
    values, nothing = from_uint8(torch.from_numpy(images)), torch.zeros(80, dtype=torch.int64)
    discriminator = model.networks["discriminator"]
    optimiser = torch.optim.Adam(discriminator.parameters(), 0.01)
    for _ in range(steps):
        logits = discriminator(values, nothing, *([80] if family == "stylegan2" else []))
        (softplus(-logits[:members]).mean() + softplus(logits[members:]).mean()).backward()
        optimiser.step()
        optimiser.zero_grad()
    names = ("images", "labels", "order", "held_out", "weights", "network", "discriminator")
    files = {name: tmp_path / name for name in names}
    save_generator(files["weights"], files["network"], family, model)
    save_weights(files["discriminator"], discriminator)
    write_npy(files["images"], images)
    write_parquet(files["labels"], pd.DataFrame({"label": np.zeros(80, np.int32)}))
    write_npy(files["order"], np.arange(members))
    write_npy(files["held_out"], np.arange(members, 80))
    losses = tmp_path / "losses.parquet"
    split = f"size-{members}.seed-0"
    run_script("audit/score_by_generator", files, {"losses": losses}, {"split": split, "seed": 0})
    told = by_model(str(losses), np.arange(members), np.arange(members, 80), np.arange(80))
    assert told is not None
    assert told["asked"] == "discriminator"
    assert told["auc"] > 0.9 if steps else told["auc_low"] < 0.5 < told["auc_high"]
    discriminator.eval()
    first = model.losses(values[:1], nothing[:1])  # whatever the batch
    np.testing.assert_allclose(pd.read_parquet(losses)["discriminator"][0], first, rtol=1e-2, atol=1e-2)


def test_samples_of_a_rare_class_help_to_recognise_it_if_they_are_right() -> None:
    """Three classes of normal points, the last one with four training images."""
    random = np.random.default_rng(0)
    middles = random.normal(size=(3, 40))

    def drawn(counts: list[int], of: tuple[int, ...] = (0, 1, 2)) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(3), counts)
        return (middles[np.array(of)[labels]] + 2 * random.normal(size=(len(labels), 40))).astype(np.float32), labels

    training, held_out, names = drawn([200, 100, 4]), drawn([50, 50, 400]), ["a", "b", "rare"]
    right, wrong = drawn([0, 0, 200]), drawn([0, 0, 200], (0, 1, 0))
    kept = np.arange(200) < 100
    gained = rare_gain(training, held_out, right, kept, names)
    assert (gained["classes"], gained["images"]) == (["rare"], 400)
    assert all(row["low"] > 0 for row in gained["with"].values())
    assert rare_gain(training, held_out, wrong, kept, names)["with"]["samples"]["high"] < 0
    nothing = rare_gain(training, held_out, right, np.zeros(200, bool), names)["with"]["released"]
    assert nothing["low"] < nothing["gain"] == 0 < nothing["high"]
    unknown = right[0], np.full(200, -1)
    for reason, asked in {
        "no class of the training images is rarer": (drawn([9, 9, 9]), held_out, right),
        "the samples have no classes": (training, held_out, unknown),
        "needs 20 held-out images of rare classes, there are 5": (training, drawn([50, 50, 5]), right),
    }.items():
        assert reason in rare_gain(*asked, kept, names)["reason"]
