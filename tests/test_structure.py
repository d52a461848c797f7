"""The house: no circle of imports, nobody imports a script, Snakemake only in its room, locals with names that say."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.conftest import ROOT
from workflow_scripts.engine.plan import rules

PACKAGE = ROOT / "workflow_scripts"
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
CHECKED = [
    *MODULES.values(),
    *(path for room in ("tests", "benchmarks", "docs") for path in (ROOT / room).rglob("*.py")),
]
NAMELESS = {"one", "found", "about"}  # as a local they say nothing of what they hold


def imports(source: str) -> Iterator[str]:
    """What a program imports, anywhere in it; not what only type checkers see."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        waiting += ast.iter_child_nodes(node)


def locals_of(source: str) -> Iterator[str]:
    """The names that a program gives to values and arguments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.arg):
            yield node.arg


def graph(depth: int | None = None) -> dict[str, set[str]]:
    """Which modules each module imports; with a depth, which packages each package does."""

    def room(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    arrows: dict[str, set[str]] = defaultdict(set)
    for name, path in MODULES.items():
        arrows[room(name)] |= {room(other) for other in imports(path.read_text()) if other in MODULES} - {room(name)}
    return arrows


@pytest.mark.parametrize("depth", [None, 2], ids=["modules", "packages"])
def test_what_imports_what_has_no_circle(depth: int | None) -> None:
    arrows = graph(depth)
    order = [*TopologicalSorter(arrows).static_order()]
    assert order.index(f"{PACKAGE.name}.core.errors" if depth is None else f"{PACKAGE.name}.core") < len(order) / 3
    core = next(name for name in order if name.startswith(f"{PACKAGE.name}.core"))
    with pytest.raises(CycleError):
        TopologicalSorter(arrows | {core: {order[-1]}, order[-1]: {core}}).prepare()


def test_nobody_imports_a_script() -> None:
    scripts = {".".join(rule.script.relative_to(ROOT).with_suffix("").parts) for rule in rules() if rule.script}
    assert len(scripts) > 50
    assert scripts <= set(MODULES)
    importing = {path.name: scripts.intersection(imports(path.read_text())) for path in CHECKED}
    assert {name: taken for name, taken in importing.items() if taken} == {}
    assert scripts.intersection(imports("def f():\n    from workflow_scripts.data import pack_images\n"))


def test_only_the_engine_imports_snakemake() -> None:
    using = [
        path
        for path in MODULES.values()
        if any(name.split(".")[0] == "snakemake" for name in imports(path.read_text()))
    ]
    assert len(using) >= 3
    assert {path.parent.name for path in using} == {"engine"}


def test_locals_say_what_they_hold() -> None:
    named = {str(path.relative_to(ROOT)): NAMELESS.intersection(locals_of(path.read_text())) for path in CHECKED}
    assert {path: names for path, names in named.items() if names} == {}
    assert set(locals_of("def f(one):\n    for found in one:\n        about = found\n")) == NAMELESS
