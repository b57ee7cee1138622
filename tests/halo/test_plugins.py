import sys
import types

import pytest

from halo.errors import ConfigError
from halo.methods import Method
from halo.plugins import parts_of, plugin_names, resolve


def test_a_file_of_the_package_is_found_by_its_name():
    assert resolve("halo.methods", "rtn", Method).__name__ == "halo.methods.rtn"


def test_every_file_of_the_folder_is_listed():
    assert {"gptq", "halo", "rtn"} <= set(plugin_names("halo.methods"))
    assert plugin_names("halo.accelerators") == ("systolic", "tensor_core")


def test_an_unknown_plugin_is_reported_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no plugin 'gptk' in halo.methods; it has .*gptq, halo, rtn"):
        resolve("halo.methods", "gptk", Method)


def test_a_plugin_from_elsewhere_is_told_what_it_lacks(monkeypatch):
    outside = types.ModuleType("lab.lattice")
    outside.Config = dict
    monkeypatch.setitem(sys.modules, "lab", types.ModuleType("lab"))
    monkeypatch.setitem(sys.modules, "lab.lattice", outside)
    with pytest.raises(ConfigError, match=r"plugin lab.lattice lacks quantize_layer, sequential; see the protocol"):
        resolve("halo.methods", "lab.lattice", Method)


def test_a_plugin_whose_own_import_fails_is_not_called_unknown(tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "broken.py").write_text("import a_module_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        resolve("pack", "broken", Method)


def test_the_parts_of_a_protocol_are_its_annotations_and_functions():
    assert parts_of(Method) == {"Config", "sequential", "quantize_layer"}
