import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from datamodules.files import write_atomically, write_parquet, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new folder" / "facts.json"
    for text in ("first", "second"):
        with write_atomically(path) as unfinished:
            unfinished.write_text(text)
            assert unfinished.parent == path.parent
            assert unfinished.suffix == ".json"
            assert text == "first" or path.read_text() == "first"
        assert path.read_text() == text
        assert names(path.parent) == ["facts.json"]


def test_a_writer_that_fails_leaves_what_was_there_before(tmp_path):
    def write():
        with write_atomically(tmp_path / "facts.json") as unfinished:
            unfinished.write_text("half")
            raise RuntimeError("the source ran dry")

    write_text(tmp_path / "facts.json", "whole")
    with pytest.raises(RuntimeError, match="ran dry"):
        write()
    assert (tmp_path / "facts.json").read_text() == "whole"
    assert names(tmp_path) == ["facts.json"]


def test_a_writer_that_is_killed_leaves_what_was_there_before(tmp_path):
    path = tmp_path / "facts.json"
    write_text(path, "whole")
    script = (
        "import os, pathlib, signal, sys; from datamodules.files import write_atomically\n"
        "with write_atomically(pathlib.Path(sys.argv[1])) as unfinished:\n"
        "    unfinished.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, str(path)])
    assert killed.wait() == -signal.SIGKILL
    assert path.read_text() == "whole"
    assert names(tmp_path) == [f".{killed.pid}.facts.json", "facts.json"]


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    (tmp_path / f".{os.getpid()}.link").symlink_to("elsewhere")
    with write_atomically(tmp_path / "link") as unfinished:
        unfinished.symlink_to("here")
    assert names(tmp_path) == ["link"]
    assert os.readlink(tmp_path / "link") == "here"


def test_a_link_to_the_file_itself_is_not_left_beside_it(tmp_path):
    write_text(tmp_path / "last.ckpt", "weights")
    with write_atomically(tmp_path / "last.ckpt") as unfinished:
        os.link(tmp_path / "last.ckpt", unfinished)
    assert names(tmp_path) == ["last.ckpt"]


def test_a_folder_that_cannot_be_made_is_an_error_and_nothing_is_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file" / "facts.json", "text")
    assert names(tmp_path) == ["file"]


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = pd.DataFrame({"clip": ["a", "b"], "frames": [1, 2]})
    write_parquet(table, tmp_path / "facts.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "facts.parquet"), table)
