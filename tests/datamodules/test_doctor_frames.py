"""What the doctor sees when it decodes: masks, damaged files, fakes that are none, and its page."""

import re
import shutil
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from datamodules import VideoReader, index, write_video
from datamodules.clips.index import clips_of
from datamodules.clips.masks import read_masks
from datamodules.doctor.audit import audit
from datamodules.doctor.command import run
from datamodules.doctor.copies import copy_of
from datamodules.doctor.looks import errands, look
from datamodules.faces.tracks import face_tracks
from datamodules.video.scan import probe

ORIGINALS = "original_sequences/youtube/c23/videos"


def fake(tree, method, place="c23"):
    return sorted((tree / "manipulated_sequences" / method / place / "videos").glob("*.mp4"))[0]


def uncropped(tree, method):
    """A fake as wide as its target."""
    return next(clip for clip in clips_of(index(tree)) if clip.method == method and not clip.dx)


def named(found, kind):
    return [name for _, finding in found.findings if finding.kind == kind for name in finding.names]


def frames_of(path):
    return list(VideoReader(path).read(range(probe(path).frames)))


def cut_in_two(path):
    """Leaves the header, which lies in front, and the first half of the pictures."""
    whole = path.with_suffix(".whole.mp4")
    with av.open(str(path)) as source, av.open(str(whole), "w", options={"movflags": "faststart"}) as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    data = whole.read_bytes()
    whole.unlink()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + (len(data) - start) // 2])


def test_masks_are_counted_as_training_sees_them(tree):
    found = audit(tree, frames=100)
    table = index(tree)
    tracks = face_tracks(table, "masks")
    lengths = table[table.label == 0].set_index("clip").frames
    for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        shares, empty, frames = [], 0, 0
        for clip in clips_of(table[table.method == method]):
            numbers = range(min(clip.frames, lengths[clip.target]))  # all frames of the target are looked at
            truths = list(read_masks(clip, numbers))
            boxes = tracks.crops(clip, numbers, 1.3)
            frames += len(truths)
            empty += sum(not truth.any() for truth in truths)
            pairs = zip(truths, boxes, strict=True)
            shares += [truth[y0:y1, x0:x1].mean() for truth, (x0, y0, x1, y1) in pairs if truth.any()]
        row = found.masks.loc[method]
        assert (row["frames"], row["empty"]) == (frames, empty)
        np.testing.assert_allclose(row["50 %"], np.median(shares), rtol=1e-6)
        greys = sum(
            np.bincount(image.max(axis=2).ravel(), minlength=256)
            for clip in clips_of(table[table.method == method])
            for image in frames_of(clip.mask_path)[: lengths[clip.target]]
        )
        np.testing.assert_array_equal(found.greys[method], greys)
    assert found.masks["empty"]["FaceSwap"] > 0  # frames whose landmarks were lost


def test_an_undamaged_tree_has_none_of_the_faults(tree):
    oddities = {"method-absent", "fake-cropped", "fake-rate", "splits-size", "people-not-compared"}
    assert {finding.kind for _, finding in audit(tree).findings} == oddities


def test_frames_are_evenly_spaced_and_as_many_as_asked_for(tree):
    found = audit(tree, frames=3)
    assert found.masks.loc["Deepfakes", "frames"] == 3 * 6


def test_processes_see_what_one_sees(tree, monkeypatch):
    monkeypatch.setattr("datamodules.doctor.audit.TARGETS_FOR_PROCESSES", 2)
    alone, shared = audit(tree, frames=2, workers=1), audit(tree, frames=2, workers=2)
    assert alone.masks.equals(shared.masks)
    assert alone.findings == shared.findings


def hole(path, packet):
    """Zeroes what a packet holds but its first bytes."""
    with av.open(str(path)) as container:
        hit = [each for each in container.demux(video=0) if each.size][packet]
        start, stop = hit.pos + 8, hit.pos + hit.size
    data = bytearray(path.read_bytes())
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)


@pytest.mark.parametrize(("place", "kind"), [("c23", "clip-unreadable"), ("masks", "mask-unreadable")])
def test_a_file_that_breaks_off_is_named(own_tree, place, kind):
    path = fake(own_tree, "Deepfakes", place)
    cut_in_two(path)
    found = audit(own_tree)
    (name,) = named(found, kind)
    assert re.fullmatch(rf"Deepfakes/{path.stem} \(breaks off behind \d+ of \d+ frames\)", name)
    assert found.grave


def test_an_original_that_breaks_off_is_named(own_tree):
    path = sorted((own_tree / ORIGINALS).glob("*.mp4"))[0]
    cut_in_two(path)
    (name,) = named(audit(own_tree), "clip-unreadable")
    assert name.startswith(f"original/{path.stem} (breaks off behind ")


@pytest.mark.parametrize(("place", "kind"), [("c23", "clip-damaged"), ("masks", "mask-damaged")])
def test_a_hole_is_named(own_tree, place, kind):
    path = fake(own_tree, "Deepfakes", place)
    hole(path, 1)
    found = audit(own_tree)
    assert named(found, kind) == [f"Deepfakes/{path.stem}"]
    assert found.grave


def test_damage_between_the_frames_looked_at_is_found_by_decoding_all(own_tree):
    path = sorted((own_tree / ORIGINALS).glob("*.mp4"))[0]
    images = frames_of(path)
    frames = len(images)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "4", "bf": "0", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    hole(path, -1)
    assert not named(audit(own_tree, frames=2), "clip-damaged")
    found = audit(own_tree, frames="all")
    assert named(found, "clip-damaged") == [f"original/{path.stem} (frames {frames - 1})"]
    assert found.whole


def test_a_mask_that_is_inverted_is_a_problem(own_tree, film):
    clip = uncropped(own_tree, "Face2Face")
    film(Path(clip.mask_path), size=(160, 128), frames=clip.frames, faces=[(0, 0, 160, 128)] * clip.frames)
    found = audit(own_tree)
    assert named(found, "mask-full") == [f"Face2Face/{clip.clip}"]
    assert found.grave


@pytest.mark.parametrize("method", ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"])
def test_a_copied_original_is_no_fake(own_tree, method):
    clip = uncropped(own_tree, method)
    shutil.copy(own_tree / ORIGINALS / f"{clip.target}.mp4", clip.path)
    found = audit(own_tree)
    assert named(found, "fake-is-original") == [f"{method}/{clip.clip} (bit for bit)"]
    assert found.grave


@pytest.mark.parametrize("quality", ["c23", "c40"])
@pytest.mark.parametrize("method", ["Deepfakes", "NeuralTextures"])
def test_an_original_encoded_anew_is_no_fake(own_tree, method, quality):
    clip = uncropped(own_tree, method)
    write_video(clip.path, frames_of(own_tree / ORIGINALS / f"{clip.target}.mp4")[: clip.frames], quality)
    assert named(audit(own_tree), "fake-is-original") == [f"{method}/{clip.clip} (encoded anew)"]


def test_a_copy_without_a_mask_is_found_by_the_face(own_tree):
    clip = uncropped(own_tree, "Deepfakes")
    shifter = own_tree / "manipulated_sequences/FaceShifter/c23/videos" / f"{clip.clip}.mp4"
    shifter.parent.mkdir(parents=True)
    shutil.copy(clip.path, shifter)
    assert not named(audit(own_tree), "fake-is-original")
    shutil.copy(own_tree / ORIGINALS / f"{clip.target}.mp4", shifter)
    assert named(audit(own_tree), "fake-is-original") == [f"FaceShifter/{clip.clip} (bit for bit)"]


def test_frames_that_a_method_left_untouched_make_no_copy():
    """Worked out by hand: frame 0 is untouched and its mask empty, in frame 1 the face is another."""
    original = np.random.default_rng(0).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    changed = original.copy()
    changed[32:96, 32:96] = 255 - changed[32:96, 32:96]
    face = np.zeros((128, 128), np.uint8)
    face[32:96, 32:96] = 1
    originals = {0: original, 1: original}
    assert copy_of({0: original, 1: changed}, originals, {0: face * 0, 1: face}, "c23") is None
    assert copy_of({0: original, 1: original}, originals, {0: face * 0, 1: face}, "c23") == "bit for bit"
    assert copy_of({0: original}, originals, {0: face * 0}, "c23") is None  # nothing is said to be forged


def test_coding_again_is_told_from_forging_by_change_inside_against_outside():
    rng = np.random.default_rng(0)
    three = range(3)
    original = cv2.GaussianBlur(rng.integers(0, 255, (256, 256, 3)).astype(np.uint8), (0, 0), 2)
    noisy = np.clip(original + rng.normal(0, 3, original.shape), 0, 255).astype(np.uint8)
    face = np.zeros((256, 256), np.uint8)
    face[64:192, 64:192] = 1
    originals, faces = dict.fromkeys(three, original), dict.fromkeys(three, face)
    assert copy_of(dict.fromkeys(three, noisy), originals, faces, "c23") == "encoded anew"
    forged = noisy.copy()
    forged[64:192, 64:192] = np.clip(forged[64:192, 64:192] + rng.normal(0, 12, (128, 128, 3)), 0, 255)
    assert copy_of(dict.fromkeys(three, forged), originals, faces, "c23") is None
    assert copy_of(dict.fromkeys(three, noisy), originals, faces, "c40") is None  # there it cannot be told


def test_a_mask_that_is_black_throughout_is_a_note(own_tree, film):
    clip = uncropped(own_tree, "Face2Face")
    film(Path(clip.mask_path), size=(160, 128), frames=clip.frames, faces=[None] * clip.frames)
    found = audit(own_tree)
    assert named(found, "mask-empty") == [f"Face2Face/{clip.clip}"]
    assert not named(found, "fake-is-original")


def test_a_target_without_an_original_is_looked_at_all_the_same(own_tree):
    path = sorted((own_tree / ORIGINALS).glob("*.mp4"))[0]
    path.unlink()
    (errand,) = (errand for errand in errands(index(own_tree), 4) if errand.target == path.stem)
    seen = look(errand)
    assert len(seen.masks) == 4
    assert seen.face is None


def test_the_page_stands_alone(tree, tmp_path, capsys):
    assert run([str(tree), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text()
    assert f"wrote {tmp_path}/index.html and {tmp_path}/doctor.json" in capsys.readouterr().out
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(source.startswith("data:image/") for source in sources)
    assert len(sources) == 4 * 2 + 3 * 5  # two plots a method; of one target a split the original and four fakes
    assert "http" not in re.sub(r'src="[^"]*"', "", page)
    for name in ("original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"):
        assert re.search(rf"<td>{name}</td>", page)


def test_without_the_page_makers_the_rest_is_written(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run([str(tree), "--out", str(tmp_path), "--frames", "1"]) == 0
    assert "the page needs matplotlib, which is not installed: pip install 'pixel-forensics[doctor]'" in (
        capsys.readouterr().out
    )
    assert (tmp_path / "doctor.json").is_file()
    assert not (tmp_path / "index.html").exists()
