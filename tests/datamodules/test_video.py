import gc
import multiprocessing
import os
import pickle
from fractions import Fraction

import av
import numpy as np
import pytest

from datamodules import VideoReader, probe, write_video
from datamodules.video import decoders, planes
from datamodules.video.packets import Packet, UnreadableError, decode, plan_passes
from datamodules.video.planes import Converter
from datamodules.video.player import REORDERED, Player

try:
    import torchcodec.decoders  # noqa: F401
except (ImportError, RuntimeError):  # not installed, or without a system FFmpeg
    BACKENDS = ("decord", "pyav")
else:
    BACKENDS = ("decord", "pyav", "torchcodec")


def numbered(count, width=64, height=48):
    """Frames that carry their number as eight bars, bright for 1."""
    for number in range(count):
        bits = np.array([number >> bit & 1 for bit in range(8)])
        bars = np.repeat(40 + 170 * bits, width // 8).astype(np.uint8)
        yield np.tile(bars[None, :, None], (height, 1, 3))


def number_of(image):
    bars = image.reshape(image.shape[0], 8, -1, 3).mean((0, 2, 3)) > 127
    return int((bars << np.arange(8)).sum())


def colourful(count, width=64, height=48):
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height, width, 3), np.uint8)
    for number in range(count):
        yield np.roll(noise, number, axis=1)


def encode(path, images, pixel_format="yuv420p", options=None, container_options=None, codec="libx264", **tags):
    """What `write_video` does not write: other pixel formats and tags, closer key frames, the index in front."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "20", "threads": "1", **(options or {})})
        stream.pix_fmt = pixel_format
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, numbered(70), "c40")
    return path


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """A clip with its index in front and a key frame every ten frames."""
    path = tmp_path_factory.mktemp("video") / "streamed.mp4"
    return encode(path, numbered(70), "yuv420p", {"g": "10"}, {"movflags": "faststart"})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("frames", [[0], [69], [3, 4, 50], list(range(0, 70, 7)), list(range(70)), []], ids=str)
def test_frames_asked_for_are_the_frames_that_come(clip, backend, frames):
    assert [number_of(image) for image in VideoReader(clip, backend).read(frames)] == frames


@pytest.mark.parametrize("backend", BACKENDS)
def test_leaps_over_key_frames_are_exact(streamed, backend):
    frames = [1, 9, 10, 11, 29, 48, 60, 69]
    assert [number_of(image) for image in VideoReader(streamed, backend).read(frames)] == frames


def test_a_frame_is_rgb_bytes_of_the_clips_size(clip):
    (image,) = VideoReader(clip).read([5])
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("quality", ["raw", "c23", "c40"])
def test_backends_agree_to_the_bit(tmp_path, quality):
    write_video(tmp_path / "clip.mp4", colourful(12), quality)
    first, *others = ([*VideoReader(tmp_path / "clip.mp4", backend).read(range(12))] for backend in BACKENDS)
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuvj420p", "yuv422p", "gray"])
def test_backends_agree_on_other_pixel_formats(tmp_path, pixel_format):
    encode(tmp_path / "clip.mp4", colourful(6), pixel_format)
    first, *others = ([*VideoReader(tmp_path / "clip.mp4", backend).read(range(6))] for backend in BACKENDS)
    for other in others:
        np.testing.assert_array_equal(first, other)


BOXES = [(0, 0, 64, 48), (2, 4, 34, 36), (31, 11, 63, 45), (30, 10, 50, 48), (0, 0, 8, 8), (1, 1, 64, 48)]
"""The whole, even, odd, at the border, small, nearly the whole."""


@pytest.mark.parametrize(
    ("pixel_format", "tags"),
    [
        ("yuv420p", {}),
        ("yuv420p", {"colorspace": 1, "color_range": 1}),  # BT.709
        ("yuv420p", {"colorspace": 9, "color_range": 2}),  # BT.2020, full range
        ("yuvj420p", {}),
        ("yuv422p", {}),
        ("yuv444p", {}),
        ("gray", {}),
        ("yuv420p", {"options": {"x264-params": "interlaced=1"}}),
    ],
    ids=str,
)
def test_a_box_is_cut_the_same_before_and_after_conversion(tmp_path, pixel_format, tags):
    path = encode(tmp_path / "clip.mp4", colourful(6), pixel_format, **tags)
    interlaced = "options" in tags  # which only our own backend reads
    whole = [*VideoReader(path, "pyav" if interlaced else "decord").read(range(6))]
    for backend in ("pyav",) if interlaced else BACKENDS:
        cut = [*VideoReader(path, backend).read(range(6), BOXES)]
        for image, full, (x0, y0, x1, y1) in zip(cut, whole, BOXES, strict=True):
            np.testing.assert_array_equal(image, full[y0:y1, x0:x1])
            assert image.flags.owndata or 4 * image.size >= 3 * image.base.size  # keeps little more alive


@pytest.mark.parametrize("width", [96, 144, 160])
def test_backends_agree_where_rows_are_padded(film, tmp_path, width):
    path = film(tmp_path / "clip.mp4", size=(width, 64))
    pictures = [list(VideoReader(path, backend).read([0, 3])) for backend in ("pyav", "decord")]
    for ours, theirs in zip(*pictures, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("size", [(64, 48), (50, 46), (63, 48), (64, 47)], ids=str)
def test_a_box_is_cut_the_same_at_any_size_and_from_rgb_planes(tmp_path, size):
    boxes = [(0, 0, 32, 32), (3, 5, 33, 41), (11, 0, 50, 46)]
    for number, (pixel_format, codec) in enumerate([("yuv444p", "libx264"), ("rgb24", "libx264rgb")]):
        path = encode(tmp_path / f"{number}.mp4", colourful(3, *size), pixel_format, codec=codec)
        first, *others = ([*VideoReader(path, backend).read(range(3), boxes)] for backend in BACKENDS)
        for other in others:
            for one, same in zip(first, other, strict=True):
                np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("threshold", [0, 5, 16, 127, 254])
@pytest.mark.parametrize("tags", [{}, {"colorspace": 1, "color_range": 2}, {"codec": "libx264rgb"}], ids=str)
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "coloured"])
def test_bright_pixels_are_those_of_the_converted_frame(tmp_path, threshold, tags, channels):
    def dots():
        random = np.random.default_rng(1)
        for number in range(8):
            image = np.zeros((48, 64, 3), np.uint8)
            for _ in range(number):
                x, y = random.integers(0, 60), random.integers(0, 44)
                image[y : y + 4, x : x + 4] = random.integers(0, 256, channels)
            yield image

    path = encode(tmp_path / "clip.mp4", dots(), "rgb24" if "codec" in tags else "yuv420p", **tags)
    frames = VideoReader(path, "decord").read(range(8))
    wanted = [(image > threshold).any(axis=2).astype(np.uint8) for image in frames]
    for backend in BACKENDS:
        for (pixels, x, y), whole in zip(
            VideoReader(path, backend).read_bright(range(8), threshold), wanted, strict=True
        ):
            placed = np.zeros_like(whole)
            placed[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
            np.testing.assert_array_equal(placed, whole)


@pytest.mark.parametrize("colour", [(200, 200, 200), (90, 20, 160)], ids=["grey", "coloured"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
def test_what_is_bright_is_found_wherever_it_goes(tmp_path, colour, pixel_format, monkeypatch):
    monkeypatch.setattr(planes, "COLOURED_FRAMES", 3)

    def wandering():
        places = [(40, 30), (42, 31), (43, 33), (90, 70), (91, 69), None, (8, 4), (9, 5), (9, 5), (120, 3)]
        for number, place in enumerate(places):
            image = np.zeros((96, 160, 3), np.uint8)
            if place:
                x, y = place
                image[y : y + 12 + number, x : x + 20] = colour
            if number == 8:
                image[90:94, 2:6] = colour  # a second one, far from the first
            yield image

    path = encode(tmp_path / "clip.mp4", wandering(), pixel_format)
    wanted = [(image > 16).any(axis=2).astype(np.uint8) for image in VideoReader(path, "decord").read(range(10))]
    assert [bool(whole.any()) for whole in wanted] == [True] * 5 + [False] + [True] * 4
    for (pixels, x, y), whole in zip(VideoReader(path).read_bright(range(10), 16), wanted, strict=True):
        placed = np.zeros_like(whole)
        placed[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        np.testing.assert_array_equal(placed, whole)


@pytest.mark.parametrize(
    "parameters",
    ["keyint=10", "keyint=10:bframes=0", "keyint=12:open-gop=1:bframes=3", "keyint=250:b-pyramid=strict:bframes=5"],
)
def test_what_is_not_decoded_changes_nothing_of_what_is(tmp_path, parameters):
    path = encode(tmp_path / "clip.mp4", colourful(60), options={"x264-params": parameters})
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 20, 50, 60):
        frames = np.sort(random.choice(60, count, replace=False)).tolist()
        for frame, image in zip(frames, VideoReader(path).read(frames), strict=True):
            np.testing.assert_array_equal(image, whole[frame], err_msg=f"frame {frame} of {frames}")
    for frame in range(1, 60):
        before, at = VideoReader(path).read([frame - 1, frame])
        np.testing.assert_array_equal(before, whole[frame - 1])
        np.testing.assert_array_equal(at, whole[frame])


def test_only_what_a_wanted_frame_needs_is_read():
    packets = [Packet(pts, position, pts % 5 == 0) for position, pts in enumerate(range(20))]
    assert plan_passes(packets, {0, 2}) == [(0, 3)]
    assert plan_passes(packets, {2, 3, 17}) == [(0, 4), (15, 18)]
    assert plan_passes(packets, {9, 10}) == [(5, 11)]
    assert plan_passes(packets, {19}) == [(15, 20)]
    assert plan_passes(packets, set()) == []


def test_packets_between_two_wanted_pictures_of_one_group_are_read_once():
    shown = [0, 2, 1, 4, 3, 6, 5, 7, 9, 8]  # in the order of decoding: 0 and 7 are key frames
    packets = [Packet(pts, position, pts in (0, 7)) for position, pts in enumerate(shown)]
    assert plan_passes(packets, {1, 3}) == [(0, 5)]
    assert plan_passes(packets, {5, 8}) == [(0, 10)]
    assert plan_passes(packets, {1, 8}) == [(0, 3), (7, 10)]


@pytest.mark.skipif("torchcodec" in BACKENDS, reason="torchcodec is installed")
def test_a_backend_that_is_not_installed_is_a_sentence(clip):
    with pytest.raises(ValueError, match=r"backend is torchcodec, which cannot be loaded .* or use pyav"):
        next(VideoReader(clip, "torchcodec").read([0]))


@pytest.mark.parametrize("frames", [[3, 2], [2, 2], [-1], [-2, 4]], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_out_of_order_are_refused_before_anything_is_read(clip, backend, frames):
    with pytest.raises(ValueError, match=r"clip\.mp4 are asked for in the order .* sort them first"):
        VideoReader(clip, backend).read(frames)


def test_a_missing_file_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4 does not exist"):
        VideoReader(tmp_path / "gone.mp4").read([0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_frame_behind_the_end_is_named(clip, backend):
    with pytest.raises(OSError, match=r"clip\.mp4 has 70 frames, but frame 90 is wanted"):
        list(VideoReader(clip, backend).read([3, 90]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_without_its_end_is_named(clip, tmp_path, backend):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-2000])
    with pytest.raises(OSError, match=r"cut\.mp4 .* copy it again"):
        list(VideoReader(tmp_path / "cut.mp4", backend).read([0]))


@pytest.fixture
def cut(streamed, tmp_path):
    """A file whose header promises 70 frames, of which the last are gone."""
    content = streamed.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 3 // 4])
    return tmp_path / "cut.mp4"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_that_breaks_off_is_named_with_its_frame(cut, backend):
    with pytest.raises(OSError, match=r"cut\.mp4 .* frame \d+"):
        list(VideoReader(cut, backend).read(range(70)))


def until_it_breaks(frames):
    """What an iterator gives before it raises OSError, which it must."""
    given = []
    with pytest.raises(OSError, match="copy it again"):
        given.extend(frames)
    return given


def test_pyav_reads_a_file_as_far_as_it_goes(cut):
    whole = [frame.to_ndarray(format="rgb24") for frame in until_it_breaks(decode(cut, range(70)))]
    assert len(whole) % decoders.FRAMES_AT_ONCE  # it breaks off within what is read at a time
    given = [number_of(image) for image in until_it_breaks(VideoReader(cut, "pyav").read(range(70)))]
    assert given == list(map(number_of, whole)) == list(range(len(whole)))


def test_only_so_many_pictures_are_decoded_ahead_as_fit_into_memory(clip, monkeypatch):
    width, height = probe(clip).width, probe(clip).height
    monkeypatch.setattr(decoders, "BURST_PX", 3 * width * height + 1)
    decoded = []

    def counted():
        for frame in decode(clip, range(8)):
            decoded.append(frame.pts)
            yield frame

    ahead = [len(decoded) - number for number, _ in enumerate(decoders._make_in_bursts(counted(), Converter().convert))]
    assert ahead == [3, 2, 1, 3, 2, 1, 2, 1]


def count_frames():
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())


@pytest.mark.parametrize("boxes", [None, [(8, 8, 40, 40)] * 60])
def test_frames_that_were_given_do_not_stay_in_memory(streamed, boxes):
    gc.collect()
    gc.disable()
    try:
        before = count_frames()
        read = VideoReader(streamed).read(range(60), boxes)
        assert len([next(read) for _ in range(59)]) == 59
        held = count_frames() - before
    finally:
        gc.enable()
    assert 0 < held < 16


def test_what_was_made_before_a_failure_is_given_first(clip):
    def make(frame):
        if frame.pts == times[2]:
            raise OSError("it must be told last: copy it again")
        return frame.pts

    times = [frame.pts for frame in decode(clip, range(5))]
    assert until_it_breaks(decoders._make_in_bursts(decode(clip, range(5)), make)) == times[:2]


def test_decord_gives_the_frames_before_a_damage_or_names_it_but_never_gives_others(cut):
    seen = []
    for _ in range(40):  # which of the two, its thread that decodes ahead decides: not the same each time
        try:
            seen.append([number_of(image) for image in VideoReader(cut, "decord").read(range(8))])
        except OSError as error:
            seen.append(str(error))
    refusal = f"{cut} is damaged at or behind frame 0: copy it again"
    assert all(outcome in (list(range(8)), refusal) for outcome in seen)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_damaged_file_is_named_with_its_frame(streamed, tmp_path, backend):
    content = bytearray(streamed.read_bytes())
    start = len(content) * 3 // 4
    content[start:] = bytes(len(content) - start)
    (tmp_path / "damaged.mp4").write_bytes(content)
    with pytest.raises(OSError, match=r"damaged\.mp4 .*frames? -?\d+"):
        list(VideoReader(tmp_path / "damaged.mp4", backend).read(range(70)))


def test_in_a_damaged_file_a_picture_that_is_dropped_does_not_shift_the_others(streamed, tmp_path):
    content, random = streamed.read_bytes(), np.random.default_rng(0)
    start, frames = content.index(b"mdat") + 8, range(0, 70, 3)
    times = [frame.pts for frame in decode(streamed, frames)]
    refusals = []
    for number in range(40):
        damaged = bytearray(content)
        for position in random.integers(start, len(content), 30):
            damaged[position] = random.integers(256)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(damaged)
        seen = []
        try:
            for frame in decode(path, frames):
                assert not frame.is_corrupt
                seen.append(frame.pts)
        except OSError as error:
            refusals.append(str(error))
        assert seen == times[: len(seen)]
    assert len(refusals) > 10
    assert all("copy it again" in refusal for refusal in refusals)


def packet_of(path, frame):
    """Where in a file the packet of a frame lies."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        packet = sorted(packets, key=lambda packet: packet.pts)[frame]
        return slice(packet.pos, packet.pos + packet.size)


@pytest.mark.parametrize("told", ["by headers", "by the decoder"])
def test_an_error_says_which_of_the_frames_asked_for_cannot_be_read(streamed, tmp_path, told):
    content, place = bytearray(streamed.read_bytes()), packet_of(streamed, 24)  # a key frame, as 32 is
    rest = place.stop - place.start - 20
    noise = np.random.default_rng(0).integers(1, 256, rest, np.uint8).tobytes()
    content[place.start + 20 : place.stop] = bytes(rest) if told == "by headers" else noise
    path, asked, seen = tmp_path / "clip.mp4", range(1, 70, 3), []
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="frame 25 is") as error:
        seen.extend(map(number_of, VideoReader(path).read(asked)))
    assert seen == list(range(1, 24, 3))
    assert error.value.frames == pickle.loads(pickle.dumps(error.value)).frames == (25, 28, 31)
    others = [frame for frame in asked if frame not in error.value.frames]
    assert [number_of(image) for image in VideoReader(path).read(others)] == others


def test_frames_behind_the_end_of_a_clip_cannot_be_read_all_at_once(clip):
    with pytest.raises(UnreadableError, match="has 70 frames, but frame 70 is wanted") as error:
        list(VideoReader(clip).read([68, 70, 71, 90]))
    assert error.value.frames == (70, 71, 90)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reader_pickles(clip, backend):
    reader = pickle.loads(pickle.dumps(VideoReader(clip, backend)))
    assert [number_of(image) for image in reader.read([0, 33])] == [0, 33]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_reader_works_in_a_forked_worker_after_it_was_used_in_the_parent(clip, backend):
    reader = VideoReader(clip, backend)
    half_read = reader.read(range(70))
    assert number_of(next(half_read)) == 0
    inbox, outbox = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=_send_frames, args=(reader, outbox), daemon=True)
    worker.start()
    try:
        assert inbox.poll(30), "the worker hangs"
        np.testing.assert_array_equal(inbox.recv(), list(reader.read([1, 40])))
        worker.join(30)
        assert worker.exitcode == 0
    finally:
        worker.kill()


def _send_frames(reader, outbox):
    outbox.send(list(reader.read([1, 40])))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")
@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_a_half_read_clip_closes_its_file(clip, backend):
    def handles():
        found = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(link) and os.path.samefile(link, clip) for link in found)

    images = VideoReader(clip, backend).read(range(70))
    next(images)
    images.close()
    assert handles() == 0


def test_a_header_tells_frames_size_and_rate(clip, tmp_path):
    assert probe(clip) == (70, 64, 48, 25.0, 0, 0)
    write_video(tmp_path / "ntsc.mp4", numbered(4), "raw", Fraction(30000, 1001))
    assert probe(tmp_path / "ntsc.mp4") == (4, 64, 48, pytest.approx(29.97, abs=0.01), 0, 0)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\0" * 5000], ids=["empty", "text", "zeros"])
def test_what_is_no_video_cannot_be_probed(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=r"clip\.mp4 cannot be read as a video"):
        probe(tmp_path / "clip.mp4")


def test_raw_is_lossless(tmp_path):
    images = list(colourful(5))
    write_video(tmp_path / "new folder" / "clip.mp4", images, "raw")
    np.testing.assert_array_equal(list(VideoReader(tmp_path / "new folder" / "clip.mp4").read(range(5))), images)


def test_qualities_have_the_pixel_formats_of_the_data_set_and_lose_more_and_more(tmp_path):
    images, losses, formats = list(numbered(6)), [], []
    for quality in ("raw", "c23", "c40"):
        path = tmp_path / f"{quality}.mp4"
        write_video(path, images, quality)
        losses.append(np.abs(np.array([*VideoReader(path).read(range(6))], int) - images).mean())
        with av.open(str(path)) as container:
            formats.append(container.streams.video[0].pix_fmt)
    assert losses == sorted(losses)
    assert losses[0] == 0
    assert formats == ["gbrp", "yuv420p", "yuv420p"]


def test_an_unfinished_video_is_not_there(tmp_path):
    def break_off():
        yield from numbered(3)
        raise RuntimeError("the source ran dry")

    with pytest.raises(RuntimeError, match="ran dry"):
        write_video(tmp_path / "clip.mp4", break_off(), "c23")
    assert not list(tmp_path.glob("*.mp4"))
    write_video(tmp_path / "clip.mp4", numbered(3), "c23")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_behind_a_picture_that_is_dropped_no_number_is_sure(streamed, tmp_path):
    content, place = bytearray(streamed.read_bytes()), packet_of(streamed, 24)
    content[place] = bytes(place.stop - place.start)
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert list(map(number_of, VideoReader(path).read(range(8)))) == list(range(8))
    with pytest.raises(UnreadableError, match="frame 40 is"):
        list(VideoReader(path).read([40]))


def test_zeros_that_an_encoder_leaves_behind_a_part_are_no_damage(streamed, tmp_path):
    path = tmp_path / "padded.mp4"
    with av.open(str(streamed)) as source, av.open(str(path), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                data, padded = bytes(packet), b""
                while data:
                    stop = 4 + int.from_bytes(data[:4])
                    padded += (stop - 4 + 4).to_bytes(4) + data[4:stop] + bytes(4)
                    data = data[stop:]
                copy = av.Packet(padded)
                copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, stream
                copy.is_keyframe = packet.is_keyframe
                sink.mux(copy)
    assert list(map(number_of, VideoReader(path).read(range(70)))) == list(range(70))


def test_a_picture_that_never_comes_does_not_hold_up_the_others(tmp_path):
    path = encode(tmp_path / "clip.avi", numbered(120), options={"g": "30"})
    with av.open(str(path)) as container:
        lost = [packet for packet in container.demux(video=0) if packet.size][20]
    content = bytearray(path.read_bytes())
    start = content.index(bytes(lost))
    content[start : start + lost.size] = b"\xff" * lost.size
    path.write_bytes(content)
    player = Player(path)
    held = [len(player._held) for _ in player.frames()]
    assert len(held) > 110
    assert max(held) <= REORDERED + 1


def test_a_disk_that_fails_is_not_taken_for_the_end_of_a_clip(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.avi", numbered(20))
    step = Player._look

    def failing(player, packet, position):
        if position == 10:
            raise av.error.OSError(5, "Input/output error")
        return step(player, packet, position)

    monkeypatch.setattr(Player, "_look", failing)
    with pytest.raises(OSError, match=r"clip\.avi cannot be decoded \(Input/output error\)"):
        probe(path)
