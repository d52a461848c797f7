"""The section `datasets`."""

from pathlib import Path

from tests.config.studies import GONE, Wrong, changed, named, study
from workflow_scripts.config.validation import validate

STYLE = {"family": "stylegan2", "preset": "tiny"}
IMAGES = {"source": "idx", "images": "a.gz", "resolution": 16}
WRONG: Wrong = [
    ({"datasets.drawn.colour": "grey"}, "datasets.drawn.colour", '"grey" given, but there is no such key; did you'),
    ({"datasets.drawn.path": "x"}, "datasets.drawn.path", "no such key; known are source, resolution"),
    ({"datasets.drawn.splits": ["train"]}, "datasets.drawn.splits", "no such key"),
    ({"datasets": GONE}, "datasets", "missing, expected a mapping of names (data sets by name)"),
    ({"datasets.drawn.resolution": GONE}, "datasets.drawn.resolution", "missing, expected a whole number from 8 to"),
    ({"datasets.drawn.count": GONE}, "datasets.drawn.count", "missing"),
    ({"datasets.photos.path": GONE}, "datasets.photos.path", "missing, expected a path"),
    ({"datasets.photos.source": GONE}, "datasets.photos.source", "missing, expected one of idx, imagefolder"),
    ({"datasets": []}, "datasets", "[] given, expected a mapping of names"),
    ({"datasets.drawn": 5}, "datasets.drawn", "5 given, expected a mapping"),
    ({"datasets.drawn.resolution": "16"}, "datasets.drawn.resolution", "write 16 without quotes"),
    ({"datasets.drawn.resolution": 16.0}, "datasets.drawn.resolution", "16.0 given, expected a whole number"),
    ({"datasets.drawn.resolution": True}, "datasets.drawn.resolution", "true given, expected a whole number"),
    ({"datasets.drawn.resolution": None}, "datasets.drawn.resolution", "null given"),
    ({"datasets.photos.path": 5}, "datasets.photos.path", "5 given, expected a path"),
    ({"datasets.photos.superclasses": ["a"]}, "datasets.photos.superclasses", "expected a mapping of names"),
    ({"datasets.photos.superclasses": {"a": "b"}}, "datasets.photos.superclasses.a", "expected a list"),
    ({"datasets": {}}, "datasets", "{} given"),
    ({"datasets.drawn.resolution": 7}, "datasets.drawn.resolution", "7 given, expected a whole number from 8 to 512"),
    ({"datasets.drawn.resolution": 1024}, "datasets.drawn.resolution", "from 8 to 512"),
    ({"datasets.drawn.held_out": -1}, "datasets.drawn.held_out", "from 0 to 100 000 000"),
    ({"datasets.drawn.color": "gray"}, "datasets.drawn.color", 'one of grey, rgb; did you mean "grey"?'),
    *(
        ({"datasets.photos.range": limits}, "datasets.photos.range", "given, expected one of type, set, or a list of 2")
        for limits in ("dark", [0], [0, "inf"], [0, float("inf")], [0, 1, 2])
    ),
    ({"datasets.photos.range": {"a": 1}}, "datasets.photos.range", "given, expected one of type, set"),
    ({"datasets.photos.held_out_path": "/data/Größe, my images/"}, "datasets.photos.held_out_path", "is `path` itself"),
    ({"datasets.photos.range": [5, 1]}, "datasets.photos.range", "5 to 1 given, expected the smaller value first"),
    ({"datasets.drawn.fit": "stretch"}, "datasets.drawn.fit", "one of crop, pad"),
    ({"datasets.drawn.on_bad_image": "ignore"}, "datasets.drawn.on_bad_image", "one of stop, skip"),
    ({"datasets.drawn.subsets": "even"}, "datasets.drawn.subsets", "one of balanced, random"),
    ({"datasets.drawn.source": "sprite"}, "datasets.drawn.source", 'did you mean "sprites"?'),
    ({"datasets.drawn.source": ["npy"]}, "datasets.drawn.source", '["npy"] given, expected one of'),
    ({"datasets.drawn.factors": 7}, "datasets.drawn.factors", "from 1 to 6"),
    ({"datasets.drawn.classes": 0}, "datasets.drawn.classes", "from 1 to 4"),
    ({"datasets.drawn.count": 10**12}, "datasets.drawn.count", "from 1 to 100 000 000"),
    ({"datasets.drawn.seed": -1}, "datasets.drawn.seed", "-1 given"),
    ({"datasets.photos.path": ""}, "datasets.photos.path", '"" given, expected a path'),
    ({"datasets.photos.path": "   "}, "datasets.photos.path", "expected a path"),
    ({"datasets.photos.path": "a/{set}/b"}, "datasets.photos.path", "rename that folder, or give a link to it"),
    ({"datasets.photos.path": "a\x00b"}, "datasets.photos.path", '"a\\u0000b" given, expected a path'),
    ({"datasets.photos.tree": "deep"}, "datasets.photos.tree", "one of auto, flat, classes, supers"),
    ({"datasets.photos.superclasses": {"a": []}}, "datasets.photos.superclasses.a", "a list of at least 1"),
    ({"datasets.x": {"source": "shipped", "name": "mnist", "resolution": 16}}, "datasets.x.name", "fashion-mnist-test"),
    ({"datasets.x": {**IMAGES, "labels": ""}}, "datasets.x.labels", "expected a path"),
    (
        {"datasets.x": {"source": "torchvision", "name": "os.system", "root": "r", "resolution": 16}},
        "datasets.x.name",
        "the name of a Python class",
    ),
    (
        {"datasets.x": {"source": "torchvision", "name": "SVHN", "root": "r", "splits": [], "resolution": 16}},
        "datasets.x.splits",
        "a list of at least 1",
    ),
    ({"datasets.Photos": study()["datasets"]["photos"]}, "datasets.Photos", "a name of small letters, digits"),
    ({"datasets.-x": study()["datasets"]["photos"]}, "datasets.-x", "a name of small letters, digits"),
    ({"datasets.$(ls)": study()["datasets"]["photos"]}, "datasets.$(ls)", "a name of small letters, digits"),
    ({"datasets.drawn.held_out": 2000}, "datasets.drawn.held_out", "expected less than the 2000 images"),
    (
        {"datasets.drawn.held_out": 99},
        "datasets.drawn.held_out",
        "expected at least 100: the threshold calibrated-0.01",
    ),
    ({"datasets.photos.held_out": GONE}, "datasets.photos.held_out", "0 given, expected at least 100"),
    ({"datasets.drawn.resolution": 24}, "datasets.drawn.resolution", "power of two from 8 to 256"),
    ({"datasets.photos.resolution": 48}, "datasets.photos.resolution", 'for the generator "large-gan" (biggan, paper)'),
    ({"datasets.photos.resolution": 512}, "datasets.photos.resolution", "power of two from 8 to 256"),
    (
        {"generators.gan": {**STYLE, "overrides": {"channels": 24}}},
        "datasets.photos.resolution",
        "32 given, expected at most 24 (its `channels`)",
    ),
    ({"datasets.x": {**IMAGES, "subsets": "balanced"}}, "datasets.x.subsets", "no classes (labels: null)"),
    (
        {"datasets.photos.tree": "flat", "datasets.photos.subsets": "balanced"},
        "datasets.photos.subsets",
        "no classes (tree: flat)",
    ),
    ({"datasets.x": {**IMAGES, "superclasses": {"a": ["1"]}}}, "datasets.x.superclasses", "expected null"),
    ({"datasets.photos.superclasses": {"a": ["1"], "b": ["1"]}}, "datasets.photos.superclasses", '"1" is listed 2'),
    ({"datasets.drawn.superclasses": {"a": ["elipse", "rectangle"]}}, "datasets.drawn.superclasses", '"ellipse"?'),
    ({"datasets.drawn.superclasses": {"a": ["ellipse"]}}, "datasets.drawn.superclasses", '"rectangle" missing'),
    (
        {"datasets.x": {"source": "torchvision", "name": "SVHN", "root": "r", "splits": ["a", "a"], "resolution": 16}},
        "datasets.x.splits",
        '"a" is listed 2 times',
    ),
]

test_what_is_wrong_is_named = named(WRONG)


def test_a_path_may_hold_spaces_and_any_letters_and_begins_at_home_with_a_tilde() -> None:
    given_path = changed({"datasets.photos.path": "data/Ünï cødé (1)/图片"})
    assert validate(given_path)["datasets"]["photos"]["path"] == "data/Ünï cødé (1)/图片"
    at_home = changed({"datasets.photos.path": "~/images"})
    assert validate(at_home)["datasets"]["photos"]["path"] == str(Path.home() / "images")
