"""The scripts of the stage: what is looked at, how it is measured against planted truth, and teachers of one's own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torchvision.models import get_model

from tests.conftest import SMOKE, run_script, run_snakemake
from workflow_scripts.classifiers.augmentation import View, apply_view, draw_view
from workflow_scripts.classifiers.networks import Classifier, load_classifier, save_classifier, trained_classifier
from workflow_scripts.classifiers.presets import ClassifierSettings
from workflow_scripts.classifiers.training import to_float
from workflow_scripts.core.errors import InputError
from workflow_scripts.distillation import looking
from workflow_scripts.distillation.attention import class_activation
from workflow_scripts.distillation.looking import look, look_at_all
from workflow_scripts.engine.plan import plan

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 1), dtype=np.uint8)


def network(architecture, seed=0):
    torch.manual_seed(seed)
    settings = ClassifierSettings(steps=1, batch=2, width=4, architecture=architecture)
    return Classifier(settings, 16, 1, 5).eval()


@pytest.mark.parametrize("architecture", ["resnet8", "mobilenet_v2"])
def test_each_way_to_look_is_its_definition(architecture):
    classifier, x = network(architecture), to_float(torch.from_numpy(IMAGES))
    features, logits = classifier.features(x), classifier(x)
    expected = {
        "class_sum": class_activation(features, classifier.head.weight),
        "predicted": class_activation(features, classifier.head.weight, logits.argmax(1)),
    }
    # Of a linear head on the mean of the map, Grad-CAM is the map of the predicted class, above zero.
    expected["grad_cam"] = expected["predicted"].relu() / (features.shape[2] * features.shape[3])
    for method, attention in expected.items():
        results = look(classifier, x, method)
        torch.testing.assert_close(results[0], logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(results[1], attention.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(results[2], features.mean((2, 3)))


def test_a_transformer_is_looked_at_by_rollout():
    classifier, x = network("vit"), to_float(torch.from_numpy(IMAGES))
    logits, attention, _ = look(classifier, x, "rollout")
    torch.testing.assert_close(logits, classifier(x))
    assert attention.shape == (7, 8, 8)
    torch.testing.assert_close(attention.sum((1, 2)), torch.ones(7))
    with pytest.raises(InputError, match="roll-out"):
        look(classifier, x, "grad_cam")


def test_images_are_looked_at_in_parts_as_their_view_shows_them(monkeypatch):
    classifier = network("resnet8")
    torch.manual_seed(4)
    view = draw_view("strong", 7, 0.4)
    shown = apply_view(to_float(torch.from_numpy(IMAGES)), view)
    monkeypatch.setattr(looking, "BATCH", 3)
    for results, expected in zip(
        look_at_all(classifier, IMAGES, "class_sum", view), look(classifier, shown, "class_sum"), strict=True
    ):
        np.testing.assert_allclose(results, expected.detach().numpy(), atol=1e-5)


def test_logits_are_stored_with_the_views_that_give_them(tmp_path):
    torch.manual_seed(0)
    settings = ClassifierSettings(steps=1, batch=2, width=4, augmentation="strong")
    teacher = Classifier(settings, 16, 1, 5).eval()
    files = {"weights": tmp_path / "weights.safetensors", "network": tmp_path / "network.json"}
    save_classifier(*files.values(), teacher)
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "training.npy", np.array([5, 0, 2]))
    files |= {name: tmp_path / f"{name}.npy" for name in ("images", "training")}
    output = {"logits": tmp_path / "stored_views.npy", "views": tmp_path / "stored_views.safetensors"}
    run_script("distillation/store_views", files, output, {"views": 2}, seed="3")
    stored, kept = np.load(output["logits"]), load_file(output["views"])
    shown = to_float(torch.from_numpy(IMAGES[[5, 0, 2]]))
    for number in range(2):
        view = View(**{name: values[number] for name, values in kept.items()})
        np.testing.assert_allclose(stored[number], teacher(apply_view(shown, view)).detach(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(stored[0], stored[1])


COUNTS, RUNGS = (32, 16, 8, 4), ["none", "weak"]  # long-tailed training images, and the rungs that are looked at


def write_network(folder, seed, labels):
    """What a network left of 400 validation and of the training images, drawn at random."""
    random = np.random.default_rng([7, seed])
    folder.mkdir(parents=True)
    arrays = {
        "logits": random.normal(size=(400, 4)), "attention": random.normal(size=(400, 4, 4)),
        "features": random.normal(size=(400, 6)), "training_logits": random.normal(size=(sum(COUNTS), 4)),
        "training_attention": random.normal(size=(sum(COUNTS), 4, 4)),
        "augmented_attention": random.normal(size=(2, 400, 4, 4)),
    }  # fmt: skip
    right = np.eye(4)[labels] * 4
    arrays["logits"] = arrays["logits"] + right
    arrays["augmented_logits"] = np.stack([arrays["logits"], arrays["logits"] - right])
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values.astype(np.float32))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Measures and table of one seed: a student that copies its teacher, one that has nothing of it, and one alone."""
    folder = tmp_path_factory.mktemp("distillation")
    labels = np.concatenate([np.repeat(np.arange(4), COUNTS), np.tile(np.arange(4), 100)])
    pd.DataFrame({"label": labels}).to_parquet(folder / "labels.parquet")
    np.save(folder / "images.npy", np.zeros((len(labels), 12, 12, 1), dtype=np.uint8))
    np.save(folder / "training.npy", np.arange(sum(COUNTS)))
    np.save(folder / "validation.npy", np.arange(sum(COUNTS), len(labels)))
    validation = labels[sum(COUNTS) :]
    for seed, name in enumerate(["teachers/weak-1", "teachers/mine-1", "students/mine.weak", "students/alone.weak"]):
        write_network(folder / name, seed, validation)
    shutil.copytree(folder / "teachers/weak-1", folder / "students/weak.weak")
    students, ensembles = ["weak.weak", "mine.weak", "alone.weak"], {"weak": ["weak-1"], "mine": ["mine-1"]}
    files = {name: folder / f"{name}.npy" for name in ("images", "training", "validation")}
    files |= {
        "labels": folder / "labels.parquet",
        "teachers": [folder / f"teachers/{name}/logits.npy" for name in ("weak-1", "mine-1")],
        "students": [folder / f"students/{name}/logits.npy" for name in students],
    }
    params = {"ensembles": ensembles, "students": students, "rungs": RUNGS, "clean": ["weak-1"], "threshold": 0.4}
    run_script("distillation/measure_students", files, {"measures": folder / "measures.json"}, params)
    params = {"runs": [("clothes", 3)], "ensembles": ensembles, "augmentations": {"weak-1": "weak", "mine-1": "strong"}}
    output = {"table": folder / "table.csv"}
    run_script("distillation/collect_distillation", {"measures": [folder / "measures.json"]}, output, params)
    table = pd.read_csv(folder / "table.csv").set_index("ensemble")
    return json.loads((folder / "measures.json").read_text()), table


def test_a_student_that_is_its_teacher_copies_it_on_every_view(measured):
    views = measured[0]["students"]["weak.weak"]["views"]
    assert list(views) == ["validation", "training", *RUNGS]
    for results in views.values():
        assert results["fidelity"]["agreement"] == 1
        assert results["fidelity"]["kl"] == pytest.approx(0, abs=1e-12)
        assert results["student_attention"]["iou"] == results["student_attention"]["iou_corrected"] == 1
        assert results["teachers_attention"]["iou"] is None  # one teacher alone has no pair


def test_a_student_that_has_nothing_of_its_teacher_is_at_chance_on_every_view(measured):
    for view, results in measured[0]["students"]["mine.weak"]["views"].items():
        attention = results["student_attention"]
        assert attention["iou"] == pytest.approx(attention["iou_shuffled"], abs=0.06)
        if view in ("training", "weak"):  # their logits know nothing of the labels, which both would have in common
            assert results["fidelity"]["agreement_low"] < 0.25 < results["fidelity"]["agreement_high"]


def test_a_student_alone_has_no_views_but_measures_and_teachers_have_them_too(measured):
    results, _ = measured
    assert results["students"]["alone.weak"]["views"] == {}
    assert "agreement" not in results["students"]["alone.weak"]["measures"]
    assert results["students"]["alone.weak"]["measures"]["accuracy"] > 0.8
    assert results["teachers"]["weak-1"]["accuracy"] == results["students"]["weak.weak"]["measures"]["accuracy"]
    assert results["teachers"]["weak-1"]["gap"] < -0.4


def test_affinity_is_one_where_nothing_moves_and_low_where_all_is_lost(measured):
    assert list(measured[0]["affinity"]) == ["weak-1"]  # only teachers that count as trained on clean images
    moved = measured[0]["affinity"]["weak-1"]
    assert moved["none"]["ratio"] == 1
    assert moved["weak"]["ratio"] < 0.5


def test_the_table_has_groups_of_the_long_tail_views_and_the_rung_of_a_checkpoint(measured):
    results, table = measured
    assert table["strength"].fillna(-1).to_dict() == {"weak": 1, "mine": 2, "alone": -1}
    for name, group in (("head", [0]), ("middle", [1, 2]), ("tail", [3])):
        classes = results["students"]["mine.weak"]["measures"]["classes"]
        expected = np.average([classes[number]["accuracy"] for number in group])
        assert table.loc["mine", f"{name}_accuracy"] == pytest.approx(expected)
    views = results["students"]["mine.weak"]["views"]
    for column, view, part, key in (
        ("agreement", "validation", "fidelity", "agreement"),
        ("training_agreement", "training", "fidelity", "agreement"),
        ("student_iou", "validation", "student_attention", "iou"),
        ("weak_student_iou", "weak", "student_attention", "iou"),
    ):
        assert table.loc["mine", column] == pytest.approx(views[view][part][key])
    assert table.loc["weak", "none_student_iou_corrected"] == 1


@pytest.mark.parametrize("kernel", [3, 7])
def test_a_trained_network_of_torchvision_gives_the_same_logits_as_a_teacher(kernel, tmp_path):
    torch.manual_seed(0)
    own = get_model("resnet18", weights=None, num_classes=5)
    if kernel == 3:
        own.conv1, own.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()
    state = {f"module.{name}": value for name, value in own.state_dict().items()}
    torch.save({"model": state, "epoch": 3}, tmp_path / "mine.pth")
    teacher = trained_classifier("resnet18", str(tmp_path / "mine.pth"), "strong", 32, 3, 5)
    save_classifier(tmp_path / "weights.safetensors", tmp_path / "network.json", teacher)
    again = load_classifier(tmp_path / "weights.safetensors", tmp_path / "network.json", CPU)
    assert again.settings.augmentation == "strong"
    x = torch.rand(3, 3, 32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = own.eval()((x - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(again(x), expected, rtol=1e-4, atol=1e-5)


def test_a_trained_network_of_other_classes_or_another_architecture_is_refused(tmp_path):
    torch.save(get_model("shufflenet_v2_x0_5", weights=None, num_classes=7).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(InputError, match=r"mine.pth.*for 5 classes: fc.bias has the shape \(7,\), expected \(5,\)"):
        trained_classifier("shufflenet_v2_x0_5", str(tmp_path / "mine.pth"), "weak", 32, 3, 5)
    with pytest.raises(InputError, match=r"not the weights of mnasnet0_5.*is missing"):
        trained_classifier("mnasnet0_5", str(tmp_path / "mine.pth"), "weak", 32, 3, 7)
    with pytest.raises(InputError, match="one of torchvision's"):
        trained_classifier("resnet8", str(tmp_path / "mine.pth"), "weak", 32, 3, 7)


@pytest.fixture
def own_teachers(tmp_path: Path) -> Path:
    """The config of a study of two trained networks."""
    study = yaml.safe_load(SMOKE.read_text())
    checkpoints = {}
    for seed, (name, rung) in enumerate((("first", "weak"), ("second", "strong"))):
        torch.manual_seed(seed)
        weights = tmp_path / f"{name}.pth"
        torch.save(get_model("shufflenet_v2_x0_5", weights=None, num_classes=10).state_dict(), weights)
        checkpoints[name] = {"architecture": "shufflenet_v2_x0_5", "weights": str(weights), "augmentation": rung}
    study["distillation"] |= {"checkpoints": checkpoints, "ensembles": [["first", "second"]]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study))
    return tmp_path / "mine.yaml"


def test_teachers_of_ones_own_are_diagnosed_without_training_any(own_teachers: Path, tmp_path: Path) -> None:
    jobs = {job.rule for job in plan(own_teachers, ["diagnosis"], tmp_path, 2)}
    assert jobs == {"pack_images", "draw_subsets", "draw_split", "take_teacher", "look_with_teachers", "diagnose"}


@pytest.mark.slow
def test_the_diagnosis_of_teachers_of_ones_own(own_teachers: Path, smoke_run: Path, tmp_path: Path) -> None:
    for name in ("data", "subsets"):
        shutil.copytree(smoke_run / "results" / name, tmp_path / "results" / name)
    done = run_snakemake(tmp_path, "--rerun-triggers", "mtime", "--", "diagnosis", config=own_teachers)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    results = json.loads((tmp_path / "results/diagnosis/fashion-mnist.json").read_text())
    assert results["teachers"] == ["first-1", "second-1"]
    assert results["best_together"]
    assert "only students can say" in results["answer"][-1]
