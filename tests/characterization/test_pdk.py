from pathlib import Path

import pytest

from characterization.errors import PdkError
from characterization.liberty_syntax import parse_liberty
from characterization.liberty_tables import operating_conditions
from characterization.pdk import SHIPPED, pdk_from_liberty, read_pdk
from tests.characterization.small_library import library_text

OWN = """
name = "own"
dont_use = ["CLK*"]
[[corners]]
name = "slow"
liberty = ["a.lib", "b.lib.gz"]
process = "ss"
voltage_v = 1.6
temp_c = -40
"""


def write(folder, text):
    for name in ("a.lib", "b.lib.gz"):
        (folder / name).write_text("")
    (folder / "own.toml").write_text(text)
    return folder / "own.toml"


def test_a_pdk_file_gives_corners_with_paths_beside_it(tmp_path):
    pdk = read_pdk(write(tmp_path, OWN))
    corner = pdk.corner()
    assert (pdk.name, pdk.dont_use) == ("own", ("CLK*",))
    assert corner.liberty == (tmp_path / "a.lib", tmp_path / "b.lib.gz")
    assert (corner.process, corner.voltage_v, corner.temp_c) == ("ss", 1.6, -40.0)


def test_the_root_of_the_files_can_be_given(tmp_path):
    path = write(tmp_path, OWN)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("a.lib", "b.lib.gz"):
        (tmp_path / name).rename(elsewhere / name)
    assert read_pdk(path, root=elsewhere).corner("slow").liberty[0] == elsewhere / "a.lib"
    path.write_text('root = "elsewhere"\n' + OWN)
    assert read_pdk(path).corner("slow").liberty[0] == elsewhere / "a.lib"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(PdkError, match="no PDK 'tsmc'; give one of asap7, osu018, sky130hd"):
        read_pdk("tsmc")


def test_an_unknown_corner_is_answered_with_the_known_ones(tmp_path):
    two = OWN + OWN.split("\n", 3)[3].replace('"slow"', '"fast"')
    pdk = read_pdk(write(tmp_path, two))
    with pytest.raises(PdkError, match="PDK own: no corner 'typical'; it has slow, fast"):
        pdk.corner("typical")
    with pytest.raises(PdkError, match="no corner was named; it has slow, fast"):
        pdk.corner()


def test_a_missing_library_names_where_it_comes_from(tmp_path):
    path = write(tmp_path, 'source = "the Debian package x"\n' + OWN)
    (tmp_path / "b.lib.gz").unlink()
    with pytest.raises(PdkError, match=r"b.lib.gz is missing \(1 in all\). It comes with the Debian package x"):
        read_pdk(path)


def test_all_problems_of_a_file_come_at_once(tmp_path):
    text = OWN.replace("name = \"own\"", "nam = 1").replace("voltage_v = 1.6", 'voltage_v = "high"')
    with pytest.raises(PdkError) as caught:
        read_pdk(write(tmp_path, text.replace('liberty = ["a.lib", "b.lib.gz"]', "liberty = []")))
    for part in ("unknown key nam", "key name is missing", r"voltage_v = 'high' is of the wrong type",
                 "corners[0].liberty must be a list of file names"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [
    ("name = 'x'\n", "corners must be a list of tables"),
    ("name = 'x'\ncorners = [1]\n", r"corners\[0\] = 1 must be a table"),
    (OWN + OWN.split("\n", 3)[3], "two corners are called 'slow'"),
    ("name = ", "not a TOML file"),
])
def test_a_malformed_file_is_refused(tmp_path, text, message):
    with pytest.raises(PdkError, match=message):
        read_pdk(write(tmp_path, text))


def test_a_liberty_file_alone_is_a_pdk_of_one_corner(tmp_path):
    (tmp_path / "small.lib").write_text(library_text())
    corner = pdk_from_liberty(tmp_path / "small.lib").corner()
    assert (corner.voltage_v, corner.temp_c, corner.process) == (1.6, 100.0, "slow")
    with pytest.raises(PdkError, match=r"lost.lib: no such Liberty file"):
        pdk_from_liberty(tmp_path / "lost.lib")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_corners_state_the_voltage_of_their_files(path):
    try:
        pdk = read_pdk(path.stem)
    except PdkError as error:
        pytest.skip(str(error))
    assert pdk.name == path.stem
    for corner in pdk.corners[:2]:
        smallest = min(corner.liberty, key=lambda file: Path(file).stat().st_size)
        assert operating_conditions(parse_liberty(smallest)) == (corner.voltage_v, corner.temp_c)
