import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from characterization.artifact import (
    Provenance,
    atomic_folder,
    atomic_path,
    cached,
    digest_bytes,
    digest_file,
    digest_of,
    write_text,
)
from characterization.errors import ArtifactError

KEYS = st.text(min_size=1, max_size=5)


@given(st.dictionaries(KEYS, st.integers(), max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(values):
    reordered = dict(reversed(list(values.items())))
    assert digest_of(values) == digest_of(reordered)


@given(st.dictionaries(KEYS, KEYS, max_size=3), st.one_of(st.none(), st.integers()))
def test_provenance_survives_its_json_text(inputs, seed):
    provenance = Provenance("stage", inputs=inputs, config={"a": 1}, tools={"yosys": "0.70"}, seed=seed)
    assert Provenance.from_json(provenance.to_json()) == provenance


def test_the_cache_key_changes_with_every_input():
    base = Provenance("stage", {"a": "1"}, {"b": 2}, {"c": "3"}, 4)
    others = [
        Provenance("other", {"a": "1"}, {"b": 2}, {"c": "3"}, 4),
        Provenance("stage", {"a": "2"}, {"b": 2}, {"c": "3"}, 4),
        Provenance("stage", {"a": "1"}, {"b": 3}, {"c": "3"}, 4),
        Provenance("stage", {"a": "1"}, {"b": 2}, {"c": "4"}, 4),
        Provenance("stage", {"a": "1"}, {"b": 2}, {"c": "3"}, 5),
    ]
    assert len({base.key, *(other.key for other in others)}) == 6


def test_a_file_whose_writing_fails_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(RuntimeError, match="killed"), atomic_path(tmp_path / "out.txt") as partial:
        partial.write_text("half")
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_by_its_folder(tmp_path: Path):
    """A write that fails knows no path."""
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "out.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path)


def test_a_failed_rewrite_keeps_the_old_file(tmp_path: Path):
    write_text(tmp_path / "out.txt", "old")
    with pytest.raises(RuntimeError, match="killed"), atomic_path(tmp_path / "out.txt") as partial:
        partial.write_text("half")
        raise RuntimeError("killed")
    assert (tmp_path / "out.txt").read_text() == "old"


def test_a_folder_that_exists_is_refused_before_anything_is_written(tmp_path: Path):
    with pytest.raises(ArtifactError, match="exists already"), atomic_folder(tmp_path):
        pytest.fail("the block must not run")


def test_a_folder_whose_filling_fails_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(RuntimeError, match="killed"), atomic_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("half")
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_is_built_once_and_again_when_its_inputs_change(tmp_path: Path):
    built = []

    def build() -> str:
        built.append(1)
        return f"text {len(built)}"

    first = cached(tmp_path, Provenance("s", {"a": "1"}), ".txt", build)
    again = cached(tmp_path, Provenance("s", {"a": "1"}), ".txt", build)
    other = cached(tmp_path, Provenance("s", {"a": "2"}), ".txt", build)
    assert (first, again, other) == (("text 1", False), ("text 1", True), ("text 2", False))


def test_a_file_and_its_bytes_have_one_digest(tmp_path: Path):
    write_text(tmp_path / "a", json.dumps([1]))
    assert digest_file(tmp_path / "a") == digest_bytes(b"[1]")
