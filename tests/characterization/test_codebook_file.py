from pathlib import Path

import pytest

from characterization.codebook_file import read_codebooks, write_codebooks
from characterization.errors import ArtifactError


def test_codebooks_survive_their_file_sorted(tmp_path: Path):
    write_codebooks(tmp_path / "c.json", {"fast9": [64, 0, -64], "halo-bal: fast16": (1, 0)})
    assert read_codebooks(tmp_path / "c.json") == {"fast9": (-64, 0, 64), "halo-bal: fast16": (0, 1)}


@pytest.mark.parametrize(("text", "message"), [
    ("{", "not JSON"), ("[]", "not a codebook file; it must be"), ('{"schema": 1, "codebooks": {}}', "not a codebook"),
    ('{"schema": 2, "codebooks": {"a": [0]}}', "not a codebook file"),
    ('{"schema": 1, "codebooks": {"a": []}}', "codebook 'a' must be a list of integers, not empty"),
    ('{"schema": 1, "codebooks": {"a": [0, 1.5]}}', "codebook 'a' must be a list of integers"),
])  # fmt: skip
def test_a_file_that_is_none_is_refused_with_its_shape(tmp_path: Path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_codebooks(tmp_path / "c.json")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ArtifactError, match=r"none.json: no readable codebook file \(No such file"):
        read_codebooks(tmp_path / "none.json")
