"""Groups of images: by a table, by a pattern of their names, and complaints."""

from pathlib import Path

import pytest

from workflow_scripts.core.errors import InputError
from workflow_scripts.data.groups import groups_of

NAMES = ["a/patient-7_1.png", "a/patient-7_2.png", "b/patient-12_1.png"]


def test_a_pattern_finds_the_group_in_the_name() -> None:
    assert groups_of(NAMES, None, "patient-([0-9]+)").tolist() == [0, 0, 1]
    assert groups_of(NAMES, None, "^[ab]").tolist() == [0, 0, 1]
    assert groups_of(NAMES, None, None).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"'scene' matches nothing in 'a/patient-7_1\.png'"):
        groups_of(NAMES, None, "scene")
    with pytest.raises(InputError, match=r"gives no group to 'a/patient-7_1\.png'"):
        groups_of(NAMES, None, "(scene)?patient")


def test_a_table_names_the_group_by_path_name_or_stem(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("\ufefffile,patient\na/patient-7_1.png,x\npatient-7_2,x\npatient-12_1.png,ü\n", encoding="utf-8")
    assert groups_of(NAMES, str(path), None).tolist() == [0, 0, 1]
    assert groups_of(["held-out/a/patient-7_1.png"], str(path), None).tolist() == [0]
    with pytest.raises(InputError, match=r"names no group of c\.png \(1 of 4 images are missing\)"):
        groups_of([*NAMES, "c.png"], str(path), None)
    path.write_text("a.png,x\nheld-out/a.png,y\n")  # another image of the same name
    assert groups_of(["a.png", "held-out/a.png"], str(path), None).tolist() == [0, 1]
    path.write_text("a.png,x\nb.png,y\n")
    with pytest.raises(
        InputError, match=r"row a\.png fits a training image and held-out/d/a\.png, .*begins with held-out/"
    ):
        groups_of(["c/a.png", "b.png", "held-out/d/a.png"], str(path), None)
    path.write_text("a.png,x\nb.png,y\na.png,z\n")
    with pytest.raises(InputError, match=r"gives two groups to 1 names, such as a\.png \(x, then z\)"):
        groups_of(["a.png"], str(path), None)
    path.write_text("./a/patient-7_1.png , x\n/data/of/others/patient-7_2.png, x\nC:\\scans\\patient-12_1.png, y\n")
    assert groups_of(NAMES, str(path), None).tolist() == [0, 0, 1]
    path.write_text("0,a.png,x\n")
    with pytest.raises(InputError, match=r"names no group of a\.png .* path and its group, found 0, a\.png"):
        groups_of(["a.png"], str(path), None)
    path.write_text("a.png,x\nb.png,\n")
    with pytest.raises(InputError, match=r"gives no group to 1 names, such as b\.png"):
        groups_of(["a.png", "b.png"], str(path), None)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a readable CSV file"):
        groups_of(NAMES, str(path), None)


@pytest.mark.parametrize("divider", [";", "\t"])
def test_a_table_of_a_spreadsheet_is_read(tmp_path: Path, divider: str) -> None:
    rows = ["file", "patient"], ["a\\patient-7_1.png", "x, y"], ["patient-7_2", "x, y"], ["patient-12_1", "z"]
    (tmp_path / "groups.csv").write_bytes(("\ufeff" + "\r\n".join(map(divider.join, rows))).encode())
    assert groups_of(NAMES, str(tmp_path / "groups.csv"), None).tolist() == [0, 0, 1]


def test_what_spreadsheets_add_is_no_row(tmp_path: Path) -> None:
    """Excel's own first line, and the empty cells below a table."""
    rows = "sep=;\r\nfile;patient\r\npatient-7_1;x\r\npatient-7_2;x\r\npatient-12_1;y\r\n;;\r\n"
    (tmp_path / "groups.csv").write_text("\ufeff" + rows, encoding="utf-8")
    assert groups_of(NAMES, str(tmp_path / "groups.csv"), None).tolist() == [0, 0, 1]
