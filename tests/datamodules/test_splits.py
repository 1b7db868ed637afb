import json

import pandas as pd
import pytest

from datamodules import index, read_splits, split_of
from datamodules.clips.splits import missing_clips, split_of_identities

GOOD = {"train": [["000", "001"]], "val": [["002", "003"]], "test": [["004", "005"]]}


def write(folder, splits=None, **changes):
    folder.mkdir(exist_ok=True)
    for split, pairs in {**(splits or GOOD), **changes}.items():
        (folder / f"{split}.json").write_text(pairs if isinstance(pairs, str) else json.dumps(pairs))
    return folder


def rows(*names, method="Deepfakes"):
    """What of an index matters here: `000` is an original, `000_001` a fake."""
    clips = [(name, *f"{name}_".split("_")[:2]) for name in names]
    table = pd.DataFrame(clips, columns=["clip", "target", "source"])
    table["method"] = [method if source else "original" for source in table.source]
    table["path"] = table["clip"] + ".mp4"
    return table


def test_official_files_are_pairs_of_each_split(tmp_path):
    assert read_splits(write(tmp_path / "splits")) == {
        "train": [("000", "001")],
        "val": [("002", "003")],
        "test": [("004", "005")],
    }


def test_missing_files_are_named_with_their_form(tmp_path):
    write(tmp_path)
    (tmp_path / "val.json").unlink()
    (tmp_path / "test.json").unlink()
    with pytest.raises(FileNotFoundError, match=r'lacks val\.json, test\.json: .*\[\["071", "054"\]\], they lie'):
        read_splits(tmp_path)


@pytest.mark.parametrize("content", ["", "[[", '["000", "001"'])
def test_what_is_not_json_is_a_sentence(tmp_path, content):
    with pytest.raises(ValueError, match=r"val\.json is not JSON .*take the official file"):
        read_splits(write(tmp_path, val=content))


def test_what_is_not_even_text_is_a_sentence(tmp_path):
    write(tmp_path)
    (tmp_path / "val.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"val\.json is not JSON"):
        read_splits(tmp_path)


@pytest.mark.parametrize(
    "pairs",
    [
        {"000": "001"},
        "a text",
        7,
        None,
        ["000", "001"],
        [["000"]],
        [["000", "001", "002"]],
        [[0, 1]],
        [["0", "1"]],
        [["000.mp4", "001.mp4"]],
    ],
    ids=str,
)
def test_another_form_is_a_sentence(tmp_path, pairs):
    with pytest.raises(ValueError, match=r"val\.json holds .* wanted pairs of three-digit ids such as"):
        read_splits(write(tmp_path, val=json.dumps(pairs)))


def test_an_identity_in_two_splits_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"identity 001 is in train\.json and in test\.json"):
        read_splits(write(tmp_path, test=[["005", "001"]]))


def test_an_identity_is_at_home_where_its_pair_is(tmp_path):
    home = split_of_identities(read_splits(write(tmp_path)))
    assert home == {"000": "train", "001": "train", "002": "val", "003": "val", "004": "test", "005": "test"}


def test_every_clip_goes_where_its_pair_goes(tmp_path):
    splits = read_splits(write(tmp_path))
    clips = rows("000", "001", "000_001", "003_002", "004")
    assert split_of(clips, splits).tolist() == ["train", "train", "train", "val", "test"]


def test_an_identity_in_no_split_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"777\.mp4 shows identity 777, which is in none of the splits"):
        split_of(rows("000", "777"), read_splits(write(tmp_path)))


@pytest.mark.parametrize(("name", "sentence"), [("000_003", "003 of val"), ("000_777", "777 of None")])
def test_a_pair_across_splits_is_refused(tmp_path, name, sentence):
    with pytest.raises(ValueError, match=rf"{name}\.mp4 joins 000 of train with {sentence}, but a pair belongs to one"):
        split_of(rows("000_001", name), read_splits(write(tmp_path)))


def test_actors_have_no_official_split_and_are_there_to_test_on(tmp_path):
    clips = rows("000", "001")
    clips.loc[2] = ["01_02__kitchen__ABCDEFGH", "01__kitchen", "02", "DeepFakeDetection", "a.mp4"]
    assert split_of(clips, read_splits(write(tmp_path))).tolist() == ["train", "train", "test"]


def test_clips_that_the_splits_promise_are_missed(tmp_path):
    splits = read_splits(write(tmp_path))
    clips = rows("000", "001", "002", "003", "004", "000_001", "001_000", "002_003", "003_002", "005_004")
    assert missing_clips(clips, splits, ("Deepfakes",)) == ["Deepfakes/004_005", "original/005"]
    assert len(missing_clips(clips, splits, ("Deepfakes", "FaceSwap"))) == 2 + 6
    assert missing_clips(clips, splits, ("DeepFakeDetection",)) == ["original/005"]


def test_no_identity_is_in_two_splits(tree):
    table = index(tree)
    table["split"] = split_of(table, read_splits(tree / "splits"))
    seen = {split: {*rows.target, *rows.source} - {""} for split, rows in table.groupby("split")}
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 6
    assert set(seen) == {"train", "val", "test"}


def test_lists_of_the_official_size_are_split_without_a_leak(tmp_path):
    pairs = [[f"{2 * number:03d}", f"{2 * number + 1:03d}"] for number in range(500)]
    splits = read_splits(write(tmp_path, {"train": pairs[:360], "val": pairs[360:430], "test": pairs[430:]}))
    clips = rows(*(name for a, b in pairs for name in (a, b, f"{a}_{b}", f"{b}_{a}")))
    found = split_of(clips, splits)
    assert found[clips.source == ""].value_counts().to_dict() == {"train": 720, "val": 140, "test": 140}
    assert found[clips.source != ""].value_counts().to_dict() == {"train": 720, "val": 140, "test": 140}
    assert missing_clips(clips, splits, ("Deepfakes",)) == []
