import sys
from pathlib import Path

import pytest

from characterization import cli
from characterization.benches.functional import Coverage, FunctionalResult
from characterization.commands.bench import coverage_words, number_of, results_table
from characterization.errors import DesignError

PE = Path(__file__).parents[2] / "rtl" / "systolic_pe_int4"


def test_vectors_are_a_number_or_all_of_them():
    assert number_of("2000") == 2000
    assert number_of("exhaustive") is None
    for text in ("0", "-3", "many", ""):
        with pytest.raises(DesignError, match="give a number of operations from 1, or `exhaustive`"):
            number_of(text)


def test_an_unknown_level_is_one_line_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["characterize", "bench", str(PE), "--level", "silicon"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "characterize: --level 'silicon': no such level; it is one of rtl, gates, all.\n"
    )


def test_a_bench_can_be_written_for_cocotbs_own_makefiles(monkeypatch, capsys, tmp_path):
    command = ["characterize", "bench", str(PE), "--prepare", str(tmp_path), "--vectors", "5"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert {path.name for path in (tmp_path / "functional-rtl").iterdir()} == {"bench.v", "plan.json"}
    assert "functional-rtl" in capsys.readouterr().out


def test_the_table_shows_what_was_covered():
    result = FunctionalResult("pe", "netlist", 50, 40, 20, ("acc_out",), Coverage((3, 16), (20, 256), (20, 4096)),
                              6000.0, Path())
    table = results_table((result,))
    assert coverage_words(result.coverage).endswith("activations 20 of 256; weight x activation 20 of 4096")
    assert list(table.columns[4].cells) == ["6000 ps"]
