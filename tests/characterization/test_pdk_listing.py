import gzip
import json
import sys

import pytest

from characterization.cli import main
from characterization.errors import PdkError
from characterization.pdk import SHIPPED, read_pdk, read_table
from characterization.pdk_listing import list_pdks
from characterization.pdk_places import PDK_ROOTS, find_root, liberty_file, places

LAYOUTS = {
    "sky130A": "sky130A/libs.ref/sky130_fd_sc_hd/lib",
    "gf180mcu7t": "gf180mcuD/libs.ref/gf180mcu_fd_sc_mcu7t5v0/lib",
    "gf180mcu9t": "gf180mcuA/libs.ref/gf180mcu_fd_sc_mcu9t5v0/lib",
    "ihp-sg13g2": "ihp-sg13g2/libs.ref/sg13g2_stdcell/lib",
}
OWN = 'name = "own"\ncorners = [{name = "c", liberty = ["c.lib"], process = "tt", voltage_v = 1, temp_c = 25}]\n'


def install(name, root):
    """Make the empty files of a PDK as open_pdks lays them out."""
    folder = root / LAYOUTS[name]
    folder.mkdir(parents=True)
    for row in read_table(SHIPPED / f"{name}.toml")["corners"]:
        for file in row["liberty"]:
            (folder / file).write_text("")
    return folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_pdk_is_found_where_open_pdks_installs_it(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PDK_ROOT", str(tmp_path))
    with pytest.raises(PdkError, match=r"is missing \(\d+ in all\). It comes with .*PDK_ROOT"):
        read_pdk(name)
    folder = install(name, tmp_path)
    pdk = read_pdk(name)
    assert {file.parent for corner in pdk.corners for file in corner.liberty} == {folder}
    [listing] = [row for row in list_pdks() if row.name == name]
    assert (listing.present, listing.folder) == (True, folder)
    assert [(corner.process, corner.name) for corner in pdk.corners] == [
        (corner.name[:2], corner.name) for corner in pdk.corners]


def test_without_pdk_root_the_folders_of_ciel_and_of_the_system_are_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("PDK_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = install("sky130A", tmp_path / ".ciel")
    assert read_pdk("sky130A").corners[0].liberty[0].parent == folder
    assert len(places(["${PDK_ROOT}/x"], tmp_path, {})) == len(PDK_ROOTS)


def test_a_place_with_all_files_comes_before_one_with_some(tmp_path):
    for name, files in (("some", ["a.lib"]), ("all", ["a.lib", "b.lib"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("")
    roots = ["none", "some", "all"]
    assert find_root(roots, tmp_path, {}, ["a.lib", "b.lib"]) == tmp_path / "all"
    assert find_root(roots, tmp_path, {}, ["c.lib"]) == tmp_path / "some"
    assert find_root(["none"], tmp_path, {}, ["c.lib"]) == tmp_path / "none"
    assert find_root(["${NOWHERE}/x"], tmp_path, {}, []) is None


def test_a_packed_file_stands_in_for_a_plain_one_and_the_reverse(tmp_path):
    (tmp_path / "a.lib.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "b.lib").write_text("")
    assert liberty_file(tmp_path, "a.lib") == tmp_path / "a.lib.gz"
    assert liberty_file(tmp_path, "b.lib.gz") == tmp_path / "b.lib"
    assert liberty_file(tmp_path, "c.lib") == tmp_path / "c.lib"


def test_every_shipped_pdk_says_what_it_is_and_how_to_get_it():
    for path in SHIPPED.glob("*.toml"):
        table = read_table(path)
        assert table["name"] == path.stem
        assert all(table.get(key) for key in ("description", "licence", "source"))
    listings = list_pdks()
    assert [row.present for row in listings] == sorted((row.present for row in listings), reverse=True)
    assert {row.name for row in listings} == {path.stem for path in SHIPPED.glob("*.toml")}


def test_the_command_lists_shipped_and_own_libraries(tmp_path, monkeypatch, capsys):
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    monkeypatch.setattr(sys, "argv", ["characterize", "pdks", str(own), "--json"])
    with pytest.raises(SystemExit):
        main()
    rows = json.loads(capsys.readouterr().out)
    [row] = [row for row in rows if row["name"] == "own"]
    assert (row["present"], row["missing"], row["corners"]) == (False, 1, ["c"])
    monkeypatch.setattr(sys, "argv", ["characterize", "pdks", str(own)])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().out
    assert "own          missing   1 corner: tt 1 V\n" in shown
    assert "to get it: its file does not say" in shown
    assert "ciel enable" in shown
    monkeypatch.setattr(sys, "argv", ["characterize", "pdks", str(tmp_path / "lost.toml")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "lost.toml'; give one of asap7" in capsys.readouterr().err


def test_roots_of_the_wrong_type_are_refused(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\nroot = [1]\ncorners = []')
    with pytest.raises(PdkError, match=r"root = \[1\] must be a folder, or a list of folders"):
        read_pdk(own)
