"""Contradictions between keys that are each right: within a section, which its file checks, and between sections."""

from collections.abc import Iterator

from workflow_scripts.config import (
    audit,
    complexity,
    datasets,
    distillation,
    generators,
    rebalancing,
    replication,
    spaces,
)
from workflow_scripts.config.messages import Location, did_you_mean_or_list, path, quoted
from workflow_scripts.config.sound import Sound, where_sound
from workflow_scripts.replication.thresholds import kind_of, threshold_label, thresholds_in

SECTIONS = ("replication", "similarity", "rebalancing", "distillation", "audit")  # each names the data sets it works on
NAMED = ("datasets", "generators", "spaces", "samples")  # sections of entries by name, of several kinds


def contradictions(config: Sound, wrong: set[Location]) -> Iterator[str]:
    """A line for each contradiction; a check is left out where it needs a value that is missing or wrong by itself.

    wrong: the places of entries that are there, but not right.
    """
    config = Sound(config | {"spaces": Sound(spaces.BUILT_IN | config.get("spaces", {}))})
    entries = {section: config.get(section, Sound()) for section in NAMED}
    parts = {section: config.get(section, Sound()) for section in (*SECTIONS, "complexity")}
    at_work = any(parts[section].get("datasets") for section in SECTIONS)
    if not at_work and not any(at[:1] in [(), *((section,) for section in SECTIONS)] for at in wrong):
        yield f"the config: nothing to do, expected data sets under at least one of the keys {', '.join(SECTIONS)}"
    for name, dataset in entries["datasets"].items():
        yield from datasets.check(name, dataset)
    for name, generator in entries["generators"].items():
        yield from generators.check(name, generator, wrong)
    for name, space in entries["spaces"].items():
        yield from spaces.check(name, space, entries["spaces"])
    for section in ("datasets", "generators", "spaces"):
        yield from _unknown_names(config, section, wrong)
    yield from complexity.check(parts["complexity"])
    yield from replication.check(parts["replication"])
    yield from rebalancing.check(parts["rebalancing"])
    yield from distillation.check(parts["distillation"])
    yield from audit.check(parts["audit"])
    for section in ("replication", "rebalancing"):
        yield from _generators_of(config, section)
        for name in parts[section].get("datasets", ()):
            for generator in dict.fromkeys(parts[section].get("generators", ())):
                yield from _resolution(config, generator, name)
    yield from _thresholds(config)
    for name in parts["replication"].get("datasets", ()):
        yield from _sizes_and_images(config, name)
        yield from _sizes_and_neighbours(config, name)
        yield from _thresholds_and_held_out(config, name)
    for name in parts["audit"].get("datasets", ()):
        for samples in parts["audit"]["datasets"][name].get("samples", ()):
            yield from _audited(config, name, samples, ("samples",) in wrong or ("samples", samples) in wrong)
    yield from _audited_spaces(config)
    for name in parts["similarity"].get("datasets", ()):
        yield from _similarity(config, name)
    for name in parts["rebalancing"].get("datasets", ()):
        yield from _rebalanced(config, name)
    for name in parts["rebalancing"].get("generators", ()):
        yield from _conditional(config, name)


def _unknown_names(config: Sound, section: str, wrong: set[Location]) -> Iterator[str]:
    """Names that a section uses, but that are not defined."""
    if (section,) in wrong:
        return
    # An entry that is wrong as a whole is not among the sound ones, but it is there.
    there = {*config.get(section, ()), *(at[1] for at in wrong if len(at) > 1 and at[0] == section)}
    for user in SECTIONS:
        names = config.get(user, {}).get(section, ())
        for name in dict.fromkeys(names):
            if name not in there:
                meant = did_you_mean_or_list(name, sorted(map(str, there)))
                where = path((user, section, *([name] if isinstance(names, dict) else [])))
                yield f"{where}: {quoted(name)} is not defined under `{section}`{meant}"


@where_sound
def _generators_of(config: Sound, section: str) -> Iterator[str]:
    if config[section]["datasets"] and not config[section]["generators"]:
        yield f"{section}.generators: [] given, expected a list of at least 1, each a name under `generators`"


@where_sound
def _resolution(config: Sound, generator: str, dataset: str) -> Iterator[str]:
    yield from generators.check_resolution(
        generator, config["generators"][generator], dataset, config["datasets"][dataset]
    )


@where_sound
def _thresholds(config: Sound) -> Iterator[str]:
    """Each space needs a threshold that means something there."""
    thresholds = replication.sound_thresholds(config["replication"])
    for name in config["replication"]["spaces"]:
        if thresholds and not thresholds_in(config["spaces"][name], thresholds):
            yield (
                "replication.thresholds: only distances between pixels given, expected a `calibrated` one as well for "
                f"the space {quoted(name)}"
            )
            return


@where_sound
def _sizes_and_images(config: Sound, name: str) -> Iterator[str]:
    dataset, sizes = config["datasets"][name], config["replication"]["datasets"][name]["sizes"]
    count, held_out, largest = datasets.known_count(dataset), dataset["held_out"], max(sizes, default=0)
    if count is not None and held_out < count < largest + held_out:
        yield (
            f"{path(('replication', 'datasets', name, 'sizes'))}: {largest} is too large, expected at most "
            f"{count - held_out}: the set has {count} images, and {held_out} of them are held out"
        )


@where_sound
def _sizes_and_neighbours(config: Sound, name: str) -> Iterator[str]:
    largest = max(config["replication"]["datasets"][name]["sizes"], default=0)
    last = max(config["complexity"]["neighbours"], default=0)
    if 0 < largest <= last:
        yield (
            f"{path(('replication', 'datasets', name, 'sizes'))}: {largest} is the largest, expected more than {last}: "
            f"complexity.neighbours asks for {last} neighbours of each image, so no intrinsic dimension could be "
            "measured"
        )


@where_sound
def _thresholds_and_held_out(config: Sound, name: str) -> Iterator[str]:
    held_out = config["datasets"][name]["held_out"]
    for threshold in replication.sound_thresholds(config["replication"]):
        kind, number = kind_of(threshold)
        if held_out < kind.held_out(number):
            yield (
                f"{path(('datasets', name, 'held_out'))}: {held_out} given, expected at least {kind.held_out(number)}: "
                f"the threshold {threshold_label(threshold)} is set by that share of them"
            )


@where_sound
def _audited(config: Sound, name: str, samples: str, wrong: bool) -> Iterator[str]:
    """Samples of the audit are defined; and if a generator of the config makes them, it can be trained."""
    if samples not in config["samples"]:
        if not wrong:
            meant = did_you_mean_or_list(samples, sorted(config["samples"]))
            where = path(("audit", "datasets", name, "samples"))
            yield f"{where}: {quoted(samples)} is not defined under `samples`{meant}"
        return
    entry, dataset = config["samples"][samples], config["datasets"][name]
    if entry["source"] != "generator":
        return
    generator, where = entry["generator"], path(("samples", samples))
    if generator not in config["generators"]:
        meant = did_you_mean_or_list(generator, sorted(config["generators"]))
        yield f"{where}.generator: {quoted(generator)} is not defined under `generators`{meant}"
    else:
        yield from _resolution(config, generator, name)
    count, held_out = datasets.known_count(dataset), dataset["held_out"]
    if count is not None and count < entry["size"] + held_out:
        yield (
            f"{where}.size: {entry['size']} is too large, expected at most {count - held_out}: the set has {count} "
            f"images, and {held_out} of them are held out"
        )


@where_sound
def _audited_spaces(config: Sound) -> Iterator[str]:
    for name in config["audit"]["spaces"]:
        if config["spaces"][name]["kind"] == "joint":
            yield f"audit.spaces: {quoted(name)} is joint, expected the names of its parts"


@where_sound
def _similarity(config: Sound, name: str) -> Iterator[str]:
    if reason := datasets.why_unlabelled(config["datasets"][name]):
        yield f"similarity.datasets: {quoted(name)} has no classes ({reason}), expected a set with classes"


@where_sound
def _rebalanced(config: Sound, name: str) -> Iterator[str]:
    if name in config["datasets"] and name not in config["similarity"]["datasets"]:
        yield f"rebalancing.datasets: {quoted(name)} given, expected it under similarity.datasets as well"


@where_sound
def _conditional(config: Sound, name: str) -> Iterator[str]:
    if not generators.settings_of(config["generators"][name]).conditional:
        yield f"rebalancing.generators: {quoted(name)} knows no classes, expected `conditional: true` in its overrides"
