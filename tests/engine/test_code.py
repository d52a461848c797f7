"""The fingerprint of a script's code: changed by what it imports, near and far, and not by comments or docstrings."""

from pathlib import Path

import pytest

from workflow_scripts.engine import code

MODULES = {
    "a/run.py": "from workflow_scripts.a.near import f\n",
    "a/near.py": '"""Near."""\n\n\ndef f():\n    """Does."""\n    from workflow_scripts import far\n    return far.x\n',
    "far.py": "x = 1\n",
    "other.py": "y = 1\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / "workflow_scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.delenv(code.VARIABLE, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("far.py", "x = 2\n", True),
        ("far.py", "x  =  1  # why\n", False),
        ("a/near.py", MODULES["a/near.py"].replace("Does", "Does something").replace("Near", "Far"), False),
        ("a/run.py", MODULES["a/run.py"] + "f()\n", True),
        ("other.py", "y = 2\n", False),
    ],
)
def test_what_a_script_imports_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, changes: bool
) -> None:
    before = code.code_fingerprint(root, "a/run.py")
    (root / "workflow_scripts" / name).write_text(text)
    assert code.code_fingerprint(root, "a/run.py") == before  # of a run that goes on
    monkeypatch.delenv(code.VARIABLE)
    code._module.cache_clear()
    assert (code.code_fingerprint(root, "a/run.py") != before) == changes
