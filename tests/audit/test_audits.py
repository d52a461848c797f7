"""Whole audits of generators whose copying is known."""

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.audit.conftest import HELD_OUT, TRAINING
from workflow_scripts.audit.verdict import COPIES, NONE
from workflow_scripts.replication.verdicts import DISAGREES, UNKNOWN

Audit = Callable[..., dict[str, Any]]
SAMPLES = 600


def fresh(clothes: np.ndarray, count: int = SAMPLES) -> np.ndarray:
    """Images of the same kind that are in neither part."""
    return clothes[1000 : 1000 + count]


def noisy(images: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 5, images.shape)
    return np.clip(images + noise, 0, 255).round().astype(np.uint8)


def drawn(images: np.ndarray, count: int = SAMPLES, seed: int = 1) -> np.ndarray:
    return images[np.random.default_rng(seed).integers(0, len(images), count)]


@pytest.fixture(scope="module")
def half(clothes: np.ndarray, audit: Audit) -> dict[str, Any]:
    """Half of the samples are training images with noise."""
    copies = noisy(drawn(clothes[:TRAINING], SAMPLES // 2))
    return audit(np.concatenate([copies, fresh(clothes, SAMPLES // 2)]))


def model(answer: dict[str, Any]) -> dict[str, Any]:
    return answer["audits"]["model"]


def test_a_good_generator_has_none_and_its_upper_end_is_stated(clothes: np.ndarray, audit: Audit) -> None:
    answer = audit(fresh(clothes), wanted_percentage=5.0)
    verdict = model(answer)["verdict"]
    assert verdict["verdict"] == NONE, verdict["sentence"]
    assert 0 < verdict["high"] < 5
    assert f"at most {verdict['high']:.1f} %" in verdict["sentence"]
    assert "in any one space" in verdict["sentence"]
    lone = {row["space"] for row in verdict["evidence"] if row["measure"] == "lone neighbours"}
    assert lone == {"pixel"}  # of moved images no second neighbour is known
    control = model(answer)["membership_without_samples"]
    assert control["auc_low"] < 0.5 < control["auc_high"]
    assert answer["passes"]
    area = model(answer)["spaces"]["pixel"]["membership"]
    assert abs(area["auc"] - 0.5) < 0.06


def test_half_a_memoriser_is_found_with_its_share_and_its_images(half: dict[str, Any]) -> None:
    verdict = model(half)["verdict"]
    assert verdict["verdict"] == COPIES
    pixel = model(half)["spaces"]["pixel"]["copies"][0]
    assert pixel["low"] <= 50 <= pixel["high"]
    assert not half["passes"]
    area = model(half)["spaces"]["pixel"]["membership"]
    assert area["auc"] > 0.7
    worst = model(half)["copied"]["first"][0]
    assert worst["image"] < TRAINING
    assert worst["samples"] >= 3 > worst["held_out"]


def test_held_out_images_of_another_kind_are_named_as_such(clothes: np.ndarray, audit: Audit) -> None:
    """A generator that learned nothing by heart, whose training images are brighter than the held-out ones."""
    brighter = np.clip(clothes * 1.4 + 20, 0, 255).astype(np.uint8)
    answer = audit(fresh(brighter), training=brighter[:TRAINING], held_out=clothes[TRAINING : TRAINING + HELD_OUT])
    assert model(answer)["membership_without_samples"]["auc_low"] > 0.6
    assert any("not of one kind: without any sample" in sentence for sentence in model(answer)["notes"])
    assert "without samples (control)" in (answer["folder"] / "report.html").read_text()


@pytest.mark.slow
def test_a_memoriser_with_noise_copies_all_and_tells_its_training_images(clothes: np.ndarray, audit: Audit) -> None:
    answer = model(audit(noisy(drawn(clothes[:TRAINING], 2 * SAMPLES))))
    assert answer["verdict"]["verdict"] == COPIES
    assert answer["verdict"]["percentage"] > 95
    assert answer["spaces"]["pixel"]["membership"]["auc"] > 0.95


@pytest.mark.slow
def test_who_draws_held_out_images_again_copies_no_training_image(clothes: np.ndarray, audit: Audit) -> None:
    held_out = clothes[TRAINING : TRAINING + HELD_OUT]
    assert model(audit(drawn(held_out)))["verdict"]["verdict"] != COPIES


@pytest.mark.slow
def test_a_collapsed_generator_is_no_evidence_of_the_absence_of_copies(clothes: np.ndarray, audit: Audit) -> None:
    answer = model(audit(noisy(drawn(clothes[1000:1010]))))
    assert answer["samples"]["distinct"] < 0.1
    assert answer["verdict"]["verdict"] in (UNKNOWN, DISAGREES)


@pytest.mark.slow
def test_mirrored_copies_are_found_where_pixels_miss_them(clothes: np.ndarray, audit: Audit) -> None:
    samples = fresh(clothes)
    samples = np.concatenate([clothes[:60, :, ::-1], samples[60:]])
    spaces = model(audit(samples))["spaces"]
    assert spaces["moved"]["copies"][0]["low"] > 4
    assert spaces["pixel"]["copies"][0]["percentage"] < 4


def test_leaks_are_named_and_left_out(clothes: np.ndarray, audit: Audit) -> None:
    held_out = clothes[TRAINING : TRAINING + HELD_OUT].copy()
    held_out[:20] = clothes[:20]
    groups = np.arange(TRAINING + HELD_OUT)
    groups[TRAINING + 30 : TRAINING + 40] = groups[:10]
    answer = model(audit(fresh(clothes), held_out=held_out, groups=groups))
    leaks = pd.DataFrame(answer["leaks"]["first"])
    assert set(leaks.loc[leaks["reason"] == "near-duplicate", "held_out"]) >= set(range(TRAINING, TRAINING + 20))
    assert set(leaks.loc[leaks["reason"] == "same group", "held_out"]) == set(range(TRAINING + 30, TRAINING + 40))
    assert answer["held_out"]["usable"] == HELD_OUT - answer["leaks"]["count"]
    assert answer["verdict"]["verdict"] == NONE


def test_without_held_out_images_the_answer_says_what_they_would_add(clothes: np.ndarray, audit: Audit) -> None:
    nobody = clothes[:0]
    clean = audit(fresh(clothes), held_out=nobody)
    verdict = model(clean)["verdict"]
    assert verdict["verdict"] == UNKNOWN
    assert "1,000 held-out images" in verdict["advice"]
    assert verdict["high"] is None
    assert not clean["passes"]
    assert model(clean)["spaces"]["pixel"]["fixed"]
    assert model(clean)["power"]
    copies = model(audit(drawn(clothes[:TRAINING]), held_out=nobody))["verdict"]
    assert copies["verdict"] == COPIES


def test_samples_of_a_generator_of_the_config_are_compared_with_its_subset_alone(
    clothes: np.ndarray, audit: Audit
) -> None:
    """Half of the samples copy images of the subset, the others images of the set that the generator never saw."""
    copies, others = clothes[TRAINING - 60 : TRAINING], clothes[:100]
    samples = np.concatenate([noisy(drawn(copies, SAMPLES // 2)), noisy(drawn(others, SAMPLES // 2))])
    answer = model(audit(samples, size=60))
    assert answer["training"]["images"] == 60
    assert answer["held_out"]["images"] == HELD_OUT
    measured = answer["spaces"]["pixel"]["copies"][0]
    assert measured["low"] <= 50 <= measured["high"]
    assert all(row["image"] >= TRAINING - 60 for row in answer["copied"]["first"])


def test_few_samples_or_a_single_training_image_get_the_weaker_answer(clothes: np.ndarray, audit: Audit) -> None:
    few = model(audit(fresh(clothes, 10)))["verdict"]
    assert few["verdict"] == UNKNOWN
    assert "10 distinct samples" in few["sentence"]
    grey, tint = np.repeat(clothes, 3, axis=-1), np.array([1, 0.8, 0.6])
    tinted = (grey * tint).astype(np.uint8)
    single = model(audit(fresh(tinted, 200), grey[TRAINING : TRAINING + HELD_OUT], training=tinted[:1]))
    assert single["training"]["images"] == 1
    assert "only 1 training image" in single["notes"][1]
    assert single["notes"][0].startswith("The held-out images are grey, the training images are in colour")
    assert single["samples"]["distinct"] > 0.95


def test_the_training_images_themselves_are_refused(clothes: np.ndarray, audit: Audit, caplog: Any) -> None:
    with pytest.raises(SystemExit):
        audit(clothes[:TRAINING])
    assert "samples.model: these are the training images themselves" in caplog.text


@pytest.mark.slow
def test_shards_give_the_same_rows(half: dict[str, Any], clothes: np.ndarray, audit: Audit) -> None:
    samples = np.load(half["folder"].parents[1] / "samples.npy")
    sharded = audit(samples, shards=3)
    ours, theirs = (
        {key: value for key, value in model(answer)["spaces"]["pixel"].items() if key != "near_duplicates"}
        for answer in (sharded, half)
    )  # near-duplicates are judged in each part by itself
    assert json.dumps(ours) == json.dumps(theirs)


def test_the_answers_agree_and_the_page_needs_nothing_else(half: dict[str, Any]) -> None:
    folder = half["folder"]
    text = (folder / "audit.md").read_text()
    assert 5 <= len(text.splitlines()) <= 10
    assert model(half)["verdict"]["sentence"] in text
    page = (folder / "report.html").read_text()
    assert "EDPB Opinion 28/2024" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert model(half)["samples"]["sha256"] in page
    pairs = pd.read_parquet(folder / "pairs.parquet")
    assert set(pairs["space"]) == {"pixel", "moved", "tiles", "halves"}
    assert pairs.loc[(pairs["space"] == "pixel") & pairs["copy"], "sample"].max() < SAMPLES


@pytest.mark.slow
def test_a_redacted_report_names_and_shows_no_training_image(half: dict[str, Any], audit: Audit) -> None:
    samples = np.load(half["folder"].parents[1] / "samples.npy")
    answer = audit(samples, redact=True)
    page = (answer["folder"] / "report.html").read_text()
    assert not re.search(r"image-\d", page)
    assert "data:image/png" not in page
    assert not re.search(r"image-\d", (answer["folder"] / "audit.md").read_text())


@pytest.mark.slow
def test_what_may_be_released_holds_no_copy(half: dict[str, Any], audit: Audit) -> None:
    samples = np.load(half["folder"].parents[1] / "samples.npy")
    answer = audit(samples, release=True)
    released = np.load(answer["folder"].parents[1] / "release.npy")
    assert len(released) == model(answer)["release"]["images"] < SAMPLES // 2
    assert "rarer than the others" in model(answer)["release"]["gain"]["reason"]
    assert {image.tobytes() for image in released} <= {image.tobytes() for image in samples[SAMPLES // 2 :]}
