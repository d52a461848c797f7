"""No code from data: no pickles, no shell with unquoted names, hashes for everything that is installed or shipped."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCES = sorted((ROOT / "workflow_scripts").rglob("*.py"))
RUNNING = {"eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "pd.read_pickle"}
FORBIDDEN = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def dangers(source: str) -> Iterator[str]:
    """What in a program could run code that comes from data."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        yield from (name for name in names if name.split(".")[0] in FORBIDDEN)
    for name, call in calls(tree):
        value = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load" and value.get("weights_only") != "True":
            yield ast.unparse(call)
        if name in ("np.load", "numpy.load") and value.get("allow_pickle") != "False":
            yield ast.unparse(call)
        if name in RUNNING:
            yield ast.unparse(call)
        if "shell" in value and name.startswith("subprocess."):
            yield ast.unparse(call)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_program_runs_what_comes_from_data(path: Path) -> None:
    assert list(dangers(path.read_text())) == []


def test_the_search_for_dangers_finds_them() -> None:
    source = """
import pickle
from joblib import load
torch.load(path)
np.load(path, allow_pickle=True)
subprocess.run(words, shell=True)
eval(text)
torch.load(path, weights_only=True)
np.load(path, allow_pickle=False)
"""
    assert len(list(dangers(source))) == 6


def test_no_rule_has_a_shell_command() -> None:
    """So nothing of a config or a path is ever read by a shell."""
    files = [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")]
    assert len(files) > 10
    assert not [path.name for path in files if re.search(r"^\s*shell\b", path.read_text(), re.MULTILINE)]


def test_every_locked_package_has_hashes_and_every_installation_asks_for_them() -> None:
    lock = (ROOT / "envs/lock.txt").read_text()
    packages = re.split(r"\n(?=[a-z0-9])", lock.strip())
    assert len(packages) > 100
    for package in packages:
        assert re.match(r"[A-Za-z0-9._\[\]-]+==\S+", package)
        assert "--hash=sha256:" in package
    for name in ("Makefile", "containers/copycat.def"):
        installs = re.findall(r"pip install[^\n]*lock\.txt", (ROOT / name).read_text())
        assert installs
        assert all("--require-hashes" in command and "--no-deps" in command for command in installs)
