"""The fingerprint of the code that a script runs: it changes with the modules that it imports, not with comments.

As a parameter of every rule it makes Snakemake see changed modules, of which it knows nothing by itself.
"""

import ast
import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "workflow_scripts"
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef)
VARIABLE = "COPYCAT_CODE"  # in which Snakemake's own process tells its jobs the fingerprints: each parses nothing again


def mark_rules(rules: Any, root: Path) -> None:
    """Give each of Snakemake's rules that runs a script of Copycat's a parameter `code`.

    The profiles then leave out the trigger `code`, which goes by the time of the script's file: a fresh checkout would
    run everything again. That trigger is also the one of shell commands, and no rule has any.
    """
    for rule in rules:
        _, slash, name = str(rule.script or "").rpartition(f"{PACKAGE}/")
        if slash and (root / PACKAGE / name).is_file():
            rule.set_params(code=_parameter(root, name))


def code_fingerprint(root: Path, script: str) -> str:
    """Sixteen hexadecimal digits of the syntax trees of a script, named within the package, and of all it imports."""
    known = json.loads(os.environ.get(VARIABLE, "{}"))
    key = f"{root}:{script}"
    if key not in known:
        trees = sorted(_closure(root, root / PACKAGE / script))
        known[key] = hashlib.sha256("".join(_module(path)[0] for path in trees).encode()).hexdigest()[:16]
        os.environ[VARIABLE] = json.dumps(known)
    return known[key]


def _parameter(root: Path, script: str) -> Callable[[Any], str]:
    return lambda wildcards: code_fingerprint(root, script)


def _closure(root: Path, script: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting += [file for name in _module(path)[1] for file in _files(root, name)]
    return seen


@cache
def _files(root: Path, name: str) -> list[Path]:
    place = root.joinpath(*name.split("."))
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]


@cache
def _module(path: Path) -> tuple[str, frozenset[str]]:
    """The hash of a module's syntax tree without its docstrings, and the names that it imports from the package."""
    tree = ast.parse(path.read_bytes())
    names: set[str] = set()
    for node in ast.walk(tree):
        kind = type(node)
        if kind in _WITH_DOCSTRING and ast.get_docstring(node, clean=False):  # type: ignore[arg-type]
            del node.body[0]  # type: ignore[attr-defined]
        elif kind is ast.Import:
            names.update(alias.name for alias in node.names)  # type: ignore[attr-defined]
        elif kind is ast.ImportFrom and node.module:  # type: ignore[attr-defined]
            names.add(node.module)  # type: ignore[attr-defined]
            names.update(f"{node.module}.{alias.name}" for alias in node.names)  # type: ignore[attr-defined]
    ours = frozenset(name for name in names if name.split(".")[0] == PACKAGE)
    return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest(), ours
