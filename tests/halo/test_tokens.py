import json
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from halo.errors import ConfigError, ModelError
from halo.texts import read_text
from halo.tokens import WindowConfig, cut_windows, read_windows
from tests.halo.tiny import text_of


@pytest.fixture
def tokenizer(cases):
    return cases["llama"].loaded.tokenizer


def test_all_windows_together_are_the_text_without_its_tail(tokenizer):
    text = text_of(500)
    whole = np.array(tokenizer(text, add_special_tokens=False)["input_ids"])
    windows = cut_windows(tokenizer, text, WindowConfig(32, 0))
    assert np.array_equal(windows.ids.ravel(), whole[: windows.ids.size])
    assert len(whole) - windows.ids.size < 32
    assert windows.text_tokens == len(whole)


def test_fewer_windows_are_spread_over_the_text(tokenizer):
    text = text_of(500)
    every = cut_windows(tokenizer, text, WindowConfig(32, 0)).ids
    some = cut_windows(tokenizer, text, WindowConfig(32, 4)).ids
    at = [int(np.flatnonzero((every == window).all(1))[0]) for window in some]
    assert at == [len(every) * i // 4 for i in range(4)]


def test_bytes_per_token_count_utf8(tokenizer):
    windows = cut_windows(tokenizer, "é" * 64, WindowConfig(8, 0))
    assert windows.text_bytes == 128
    assert windows.bytes_per_token == 128 / windows.text_tokens


def test_a_short_text_is_refused(tokenizer):
    with pytest.raises(ModelError, match=r"the text has \d+ tokens, less than one window of 256"):
        cut_windows(tokenizer, "word1 word2", WindowConfig(256, 0))


def test_a_window_of_one_token_or_fewer_than_none_are_refused():
    with pytest.raises(ConfigError, match="window = 1: a window needs at least 2 tokens"):
        WindowConfig(1, 0)
    with pytest.raises(ConfigError, match="windows = -1 must not be negative; 0 takes all"):
        WindowConfig(32, -1)


def test_a_missing_text_is_named(tokenizer, tmp_path):
    with pytest.raises(ModelError, match=r"none.txt: cannot be read \(No such file or directory\); name a UTF-8 text"):
        read_windows(tokenizer, tmp_path / "none.txt", WindowConfig())
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(ModelError, match=r"latin.txt: not a UTF-8 text \(invalid continuation byte at byte 3\)"):
        read_windows(tokenizer, tmp_path / "latin.txt", WindowConfig())


def test_a_text_of_one_token_is_refused_and_a_short_one_is_named(tokenizer, tmp_path):
    text = tmp_path / "some.txt"
    text.write_text("<s>" * 500)
    with pytest.raises(ModelError, match=r"some.txt: nothing but the token .<s>., padding perhaps"):
        read_windows(tokenizer, text, WindowConfig(32, 4))
    text.write_text("")
    with pytest.raises(ModelError, match=r"some.txt: the text has 0 tokens, less than one window of 32"):
        read_windows(tokenizer, text, WindowConfig(32, 4))


def test_other_tokens_have_another_digest(tokenizer):
    a, b = (cut_windows(tokenizer, text_of(500, seed), WindowConfig(32, 4)) for seed in (1, 2))
    assert a.digest != b.digest
    assert a.digest == cut_windows(tokenizer, text_of(500, 1), WindowConfig(32, 4)).digest


def table_file(path, columns, new=pyarrow.ipc.new_stream):
    """Write columns of text as Hugging Face's datasets do: an Arrow stream, or Parquet."""
    table = pyarrow.table(columns)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        with pyarrow.OSFile(str(path), "wb") as stream, new(stream, table.schema) as writer:
            writer.write_table(table)


def test_json_lines_and_datasets_give_the_same_windows_as_their_text(tokenizer, tmp_path):
    parts = [text_of(300), "", text_of(200)]
    (tmp_path / "plain.txt").write_text("\n".join(parts))
    wanted = read_windows(tokenizer, tmp_path / "plain.txt", WindowConfig(32, 4))
    lines = tmp_path / "some.jsonl"
    entries = [{"text": parts[0], "id": 1}, *parts[1:]]
    lines.write_text("\n\n".join(map(json.dumps, entries)))
    arrow, parquet = tmp_path / "arrow", tmp_path / "parquet"
    arrow.mkdir()
    parquet.mkdir()
    table_file(arrow / "data-00000-of-00002.arrow", {"text": parts[:2], "source": ["a", "b"]})
    table_file(arrow / "data-00001-of-00002.arrow", {"text": parts[2:], "source": ["c"]})
    table_file(parquet / "train.parquet", {"id": [1, 2, 3, 4], "body": [*parts, None]})
    for path in (lines, arrow, parquet, parquet / "train.parquet"):
        found = read_windows(tokenizer, path, WindowConfig(32, 4))
        assert found.text_digest == wanted.text_digest
        assert (found.ids == wanted.ids).all()


def test_a_text_is_read_however_it_is_marked_and_typed(tmp_path):
    (tmp_path / "marked.txt").write_bytes("\ufeffa\nb".encode())
    (tmp_path / "marked.JSONL").write_bytes('\ufeff"a"\n{"text": "b"}\n'.encode())
    table_file(tmp_path / "file.arrow", {"text": ["a", "b"]}, pyarrow.ipc.new_file)
    table_file(tmp_path / "few.parquet", {"text": pyarrow.array(["a", "b"]).dictionary_encode()})
    table_file(tmp_path / "view.arrow", {"text": pyarrow.array(["a", "b"], pyarrow.string_view())})
    assert {read_text(file) for file in tmp_path.iterdir()} == {"a\nb"}


def test_of_a_datasets_folder_only_the_files_of_its_list_are_read(tmp_path):
    for name in ("data-00000-of-00001.arrow", "cache-12ab.arrow"):
        table_file(tmp_path / name, {"text": [name]})
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    assert read_text(tmp_path) == "data-00000-of-00001.arrow"
    for text in ("{}", '{"_data_files": 3}', '{"_data'):
        (tmp_path / "state.json").write_text(text)
        with pytest.raises(ModelError, match="the dataset's list of its files is damaged"):
            read_text(tmp_path)


def test_the_splits_of_a_dataset_are_not_read_as_one_text(tmp_path):
    for split in ("test", "train"):
        table_file(tmp_path / f"{split}-00000-of-00001.parquet", {"text": [split]})
    with pytest.raises(ModelError, match=r"files of several splits \(test, train\); name one file, or move those"):
        read_text(tmp_path)


@pytest.mark.parametrize("cut", [0, 20, 0.3, 0.9])
@pytest.mark.parametrize("name", ["some.arrow", "some.parquet"])
def test_a_file_that_was_cut_off_is_damaged(tmp_path, name, cut):
    table_file(tmp_path / name, {"text": [text_of(300)] * 3})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(cut * len(whole)) if cut < 1 else cut])
    with pytest.raises(ModelError, match=rf"{name}: missing or damaged \(.*\); copy it again"):
        read_text(tmp_path / name)


def test_a_column_called_text_that_holds_none_is_refused_and_no_other_is_taken(tmp_path):
    table_file(tmp_path / "some.parquet", {"text": [["a", "b"]], "label": ["c"]})
    with pytest.raises(ModelError, match=r'its column "text" holds list<element: string>, no text'):
        read_text(tmp_path / "some.parquet")


def test_what_holds_no_text_is_named_with_what_it_holds(tmp_path, monkeypatch):
    lines = tmp_path / "some.jsonl"
    for text, says in (('{"text": "a"}\n{"text"', r"line 2 is no JSON"), ('{"body": "a", "id": 1}', "it has body, id"),
                       ("3", "it is a int"), ("{}", "it has nothing"), ("[" * 100_000, "line 1 is no JSON"),
                       ('"\\ud800"', "line 1 has half of a character")):
        lines.write_text(text)
        with pytest.raises(ModelError, match=says):
            read_text(lines)
    lines.rename(tmp_path / "some.json")
    with pytest.raises(ModelError, match=r"some.json: JSON is no text; give JSON Lines"):
        read_text(tmp_path / "some.json")
    with pytest.raises(ModelError, match="a folder without Arrow, Parquet or JSON Lines files"):
        read_text(tmp_path)
    table_file(tmp_path / "two.parquet", {"a": ["x"], "b": ["y"]})
    with pytest.raises(ModelError, match=r'two.parquet: no column "text", nor a single one of text; it has a, b'):
        read_text(tmp_path)
    (tmp_path / "two.parquet").write_bytes(b"PAR1 not at all")
    with pytest.raises(ModelError, match=r"two.parquet: missing or damaged"):
        read_text(tmp_path)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ModelError, match=r"several splits; name the folder of one: train, test"):
        read_text(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModelError, match=r"reading it needs pyarrow; install it"):
        read_text(tmp_path / "two.parquet")
