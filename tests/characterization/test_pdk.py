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
    with pytest.raises(PdkError, match=r"no PDK 'tsmc'; give one of asap7, .*osu018, .*sky130hd"):
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


def many(tmp_path):
    rows = "".join(f'[[corners]]\nname = "ss_n40C_{name}"\nliberty = ["a.lib"]\nprocess = "ss"\nvoltage_v = {volt}\n'
                   "temp_c = -40\n" for name, volt in (("1v76", 1.76), ("1v28", 1.28), ("1v60", 1.6)))
    return read_pdk(write(tmp_path, 'name = "own"\nmulti_input_late = 1.14\nmulti_input_early = 0.6\n' + rows))


def test_a_corner_between_two_voltages_is_interpolated_between_its_neighbours(tmp_path):
    pdk = many(tmp_path)
    corner = pdk.corner("ss_n40C_1v70")
    assert corner == pdk.at("ss", -40, 1.7)
    assert [neighbour.name for neighbour in corner.interpolated] == ["ss_n40C_1v60", "ss_n40C_1v76"]
    assert (corner.name, corner.voltage_v, corner.multi_input) == ("ss_n40C_1v70", 1.7, (1.14, 0.6))
    assert corner.liberty == (tmp_path / "a.lib",) * 2
    assert pdk.at("ss", -40, 1.6) is pdk.corner("ss_n40C_1v60")
    assert pdk.corner("ss_n40C_1v725").voltage_v == 1.725


@pytest.mark.parametrize("name", ["ss_n40C_1v20", "ss_n40C_1v80"])
def test_nothing_is_extrapolated(tmp_path, name):
    with pytest.raises(PdkError, match=f"corner {name} lies outside 1.28 to 1.76 V, which ss at -40 C is"):
        many(tmp_path).corner(name)


def test_another_process_or_temperature_is_answered_with_the_characterized_ones(tmp_path):
    with pytest.raises(PdkError, match="nothing of process tt at 25 C is characterized; it has ss at -40 C"):
        many(tmp_path).corner("tt_025C_1v70")


def test_a_derate_that_would_flatter_is_refused(tmp_path):
    with pytest.raises(PdkError, match=r"late = 0.9 must be at least 1.*multi_input_early = 1.2 must lie in"):
        read_pdk(write(tmp_path, "multi_input_late = 0.9\nmulti_input_early = 1.2\n" + OWN))
