import io
import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from datamodules import VideoReader, probe
from datamodules.video.h264 import Headers, PictureOrder
from datamodules.video.packets import decode
from tests.datamodules import odd_clips
from tests.datamodules.odd_clips import COUNT, h264, lost, pictures, x264

COVERS = av.stream.Disposition.attached_pic


class Plain(NamedTuple):
    """What a decoder that knows nothing of a clip puts out, from its start to its end.

    Attributes:
        images: As shown, in that order.
        positions: Of the packet of each, in the order of decoding.
        bad: Positions of packets that are flagged, or whose pictures are, or that could not be decoded.
        times: Of all packets.
        keys: Positions of those that the container calls key frames.
    """

    images: list[Any]
    positions: list[int]
    bad: set[int]
    times: list[Any]
    keys: list[int]


def plain(source):
    """Decodes a file or bytes with one thread, and goes on where it fails."""
    found = Plain([], [], set(), [], [])
    with ExitStack() as stack:
        try:
            file = str(source) if isinstance(source, Path) else io.BytesIO(source)
            container = stack.enter_context(av.open(file, metadata_errors="replace"))
        except av.FFmpegError:
            return found
        stream = next((stream for stream in container.streams.video if not stream.disposition & COVERS), None)
        if stream is None or stream.codec_context is None:
            return found
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        packets = container.demux(stream)
        while True:
            position = len(found.times)
            try:
                packet = next(packets)
                packet = packet if packet.size else None
            except (StopIteration, av.FFmpegError):
                packet = None
            if packet:
                found.times.append(packet.pts)
                if packet.is_keyframe:
                    found.keys.append(position)
                if packet.is_corrupt:
                    found.bad.add(position)
                packet.pts = packet.dts = position  # which the decoder hands on to the frame
            try:
                frames = stream.codec_context.decode(packet)
            except av.FFmpegError:
                frames = []
                found.bad.add(position)
            for frame in frames:
                if frame.is_corrupt:
                    found.bad.add(frame.pts)
                found.images.append(shown(frame))
                found.positions.append(frame.pts)
            if not packet:
                return found


def shown(frame):
    """Moves every pixel to where the file's matrix puts it (ISO/IEC 14496-12, 8.3.2)."""
    image = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    if abs(np.linalg.det(np.frombuffer(bytes(matrix), np.int32)[[0, 1, 3, 4]].reshape(2, 2) / 65536)) < 1e-6:
        return image  # FFmpeg takes no notice of one that leaves no area
    a, b, _, c, d = np.sign(np.frombuffer(bytes(matrix), np.int32)[:5])
    y, x = np.indices(image.shape[:2])
    across, down = a * x + c * y, b * x + d * y
    across, down = across - across.min(), down - down.min()
    moved = np.empty((down.max() + 1, across.max() + 1, 3), np.uint8)
    moved[down, across] = image
    return moved


def number_of(image):
    """The number that a picture carries; pictures of two colours a channel carry it too."""
    half = image[: image.shape[0] // 2]
    bars = half.reshape(half.shape[0], 8, -1, 3).mean((0, 2, 3)) > 127
    return int((bars << np.arange(8)).sum())


def until_refused(frames):
    """What comes before a refusal, if there is one, and its sentence."""
    given = []
    try:
        given.extend(frames)
    except OSError as error:
        return given, str(error)
    return given, ""


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Writes the bytes of a clip, once for each name."""
    folder, known = tmp_path_factory.mktemp("odd"), {}

    def written(name, make):
        if name not in known:
            known[name] = folder / f"{len(known)}.mp4"  # by its content, not its name, is it opened
            known[name].write_bytes(make())
        return known[name]

    return written


def assert_read_as_by_a_plain_decode(path, numbers):
    """All frames and some, alone and together, are what a plain decode gives, and the pictures of these numbers."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = next(stream for stream in container.streams.video if not stream.disposition & COVERS)
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        wanted = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    np.testing.assert_array_equal(plain(path).images, wanted)
    assert [number_of(image) for image in wanted] == numbers
    last = len(wanted) - 1
    for frames in ([*range(len(wanted))], [5], [min(20, last - 1), min(30, last)], [last], [*range(1, last, 3)]):
        images = list(VideoReader(path).read(frames))
        for frame, image in zip(frames, images, strict=True):
            np.testing.assert_array_equal(image, wanted[frame], err_msg=f"frame {frame} of {frames}")
    assert probe(path).frames == len(wanted)
    assert (probe(path).height, probe(path).width) == wanted[0].shape[:2]
    with pytest.raises(OSError, match=rf"has {len(wanted)} frames, but frame {len(wanted)} is wanted"):
        list(VideoReader(path).read([len(wanted)]))


@pytest.mark.parametrize("name", odd_clips.SOUND)
def test_every_container_and_codec_is_read_as_by_a_plain_decode(write, name):
    assert_read_as_by_a_plain_decode(write(name, odd_clips.SOUND[name]), [*range(COUNT)])


@pytest.mark.parametrize("name", odd_clips.EDITED)
def test_what_an_edit_list_leaves_out_is_not_read_nor_counted(write, name):
    make, numbers = odd_clips.EDITED[name]
    assert_read_as_by_a_plain_decode(write(name, make), numbers)


@pytest.mark.parametrize("name", odd_clips.TURNED)
def test_a_turned_clip_is_read_as_it_is_shown(write, name):
    degrees, mirrored = odd_clips.TURNED[name]
    path = write(name, lambda: odd_clips.turned(degrees, mirrored))
    coded = plain(write("mp4-h264", h264)).images
    wanted = [np.rot90(image, degrees // 90) for image in coded]
    wanted = [image[:, ::-1] for image in wanted] if mirrored else wanted
    np.testing.assert_array_equal(plain(path).images, wanted)
    np.testing.assert_array_equal(list(VideoReader(path).read(range(COUNT))), wanted)
    for frames in ([5], [20, 30], [COUNT - 1]):
        np.testing.assert_array_equal(list(VideoReader(path).read(frames)), [wanted[frame] for frame in frames])
    assert (probe(path).height, probe(path).width) == wanted[0].shape[:2]


@pytest.mark.parametrize("name", odd_clips.TURNED)
def test_a_box_of_a_turned_clip_is_cut_where_it_is_shown(write, name):
    path = write(name, lambda: odd_clips.turned(*odd_clips.TURNED[name]))
    for whole, cut in zip(
        VideoReader(path).read([3, 9]), VideoReader(path).read([3, 9], [(5, 2, 41, 30)] * 2), strict=True
    ):
        np.testing.assert_array_equal(cut, whole[2:30, 5:41])


def test_a_clip_shown_askew_is_refused_in_one_sentence(write):
    path = write("mp4-askew", lambda: odd_clips.turned(30))
    with pytest.raises(OSError, match=rf"{path.name}.* turned by -?[0-9]+ degrees, wanted quarters: encode it"):
        list(VideoReader(path).read([0]))
    with pytest.raises((OSError, ValueError), match=r"turned by -?[0-9]+ degrees, wanted quarters: encode it"):
        probe(path)


@pytest.mark.parametrize("name", odd_clips.SOUND)
def test_decord_gives_the_same_pictures_or_none(write, name):
    path = write(name, odd_clips.SOUND[name])
    wanted = plain(path).images
    frames = [0, 1, 5, 11, 12, 20, 39]
    given, refusal = until_refused(VideoReader(path, "decord").read(frames))
    assert len(given) == (0 if refusal else len(frames))
    for frame, image in zip(frames, given, strict=False):
        np.testing.assert_array_equal(image, wanted[frame], err_msg=f"frame {frame}")
    if name in ("mp4-h264", "mp4-pyramid", "mp4-fragmented"):
        assert not refusal


@pytest.mark.parametrize("name", [*odd_clips.EDITED, *odd_clips.TURNED, *odd_clips.HEADLESS, *odd_clips.GROWING])
def test_decord_is_not_trusted_with_what_is_edited_turned_headless_or_growing(write, name):
    group = next(each for each in ("EDITED", "TURNED", "HEADLESS", "GROWING") if name in getattr(odd_clips, each))
    made = getattr(odd_clips, group)[name]
    make = {"EDITED": lambda: made[0](), "TURNED": lambda: odd_clips.turned(*made)}.get(group, made)
    key = {"EDITED": name, "TURNED": name}.get(group, f"{group}-{name}")
    path = write(key, make)
    wanted = plain(path).images
    given, refusal = until_refused(VideoReader(path, "decord").read(range(20)))
    assert refusal or len(given) == 20
    for image, right in zip(given, wanted, strict=False):
        np.testing.assert_array_equal(image, right)


def test_interlaced_pictures_are_decoded_as_by_a_plain_decode(write):
    path = write("mp4-interlaced", lambda: h264(parameters="interlaced=1"))
    with av.open(str(path)) as container:
        wanted = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert probe(path).frames == len(wanted) == COUNT
    for frames in ([*range(COUNT)], [5], [20, 30], [39]):
        for frame, given in zip(frames, decode(path, frames), strict=True):
            np.testing.assert_array_equal(given.to_ndarray(), wanted[frame])


@pytest.mark.parametrize("name", odd_clips.HEADLESS)
def test_a_clip_that_begins_between_key_frames_is_read_from_the_first_one_on(write, name):
    path = write(f"HEADLESS-{name}", odd_clips.HEADLESS[name])
    whole = plain(path)
    start = next(frame for frame, image in enumerate(whole.images) if number_of(image) == 12)
    assert [number_of(image) for image in whole.images[start:]] == [*range(12, COUNT)]
    frames = [*range(start, len(whole.images))]
    np.testing.assert_array_equal(list(VideoReader(path).read(frames)), whole.images[start:])
    for frame in (start, frames[10], frames[-1]):
        np.testing.assert_array_equal(list(VideoReader(path).read([frame])), [whole.images[frame]])
    if start:  # grey comes first, under numbers of its own
        with pytest.raises(
            ValueError, match=f"begins between key frames, its pictures are whole from frame {start} on"
        ):
            probe(path)
    else:
        facts = probe(path)
        assert facts.frames == len(whole.images)
        assert facts.lost


@pytest.mark.parametrize("name", odd_clips.HEADLESS)
def test_no_picture_is_given_that_refers_to_what_lies_before_the_start(write, name):
    path = write(f"HEADLESS-{name}", odd_clips.HEADLESS[name])
    given, _ = until_refused(VideoReader(path).read(range(len(plain(path).images))))
    right = plain(write(f"{name}-whole", WHOLE[name])).images
    for image in given:
        assert number_of(image) < COUNT
        np.testing.assert_array_equal(image, right[number_of(image)])


WHOLE = {
    **odd_clips.SOUND,
    "mp4-open": lambda: h264(parameters=odd_clips.OPEN, between=3),
    "ts-open": lambda: h264("mpegts", parameters=odd_clips.OPEN, between=3),
}


@pytest.mark.parametrize("name", odd_clips.GROWING)
def test_pictures_that_change_their_size_are_one_sentence(write, name):
    path = write(f"GROWING-{name}", odd_clips.GROWING[name])
    sentence = r"changes its picture size at frame 20, from 64x48 to 128x96: encode it anew to one size"
    given, refusal = until_refused(VideoReader(path).read(range(40)))
    np.testing.assert_array_equal(given, plain(path).images[:20])
    assert refusal == f"{path} {sentence}"
    with pytest.raises((OSError, ValueError), match=sentence):
        probe(path)


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_sound_with_a_cover_picture_is_no_video(write, backend):
    path = write("song", odd_clips.song)
    sentence = r"cannot be read as a video \(it holds only a cover picture\): give the film itself"
    with pytest.raises(OSError, match=sentence):
        list(VideoReader(path, backend).read([0]))
    with pytest.raises(ValueError, match=sentence):
        probe(path)


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize("listed", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
def test_a_list_of_other_files_is_no_video(write, tmp_path, backend, listed):
    other = write("mp4-h264", h264)
    path = tmp_path / "list.mp4"
    path.write_text(listed.format(other))
    with pytest.raises(OSError, match=r"list\.mp4 cannot be read as a video .*: download or copy it again"):
        list(VideoReader(path, backend).read([0]))
    with pytest.raises(ValueError, match=r"list\.mp4 cannot be read as a video .*: download or copy it again"):
        probe(path)


def packets_in(content):
    """Place and length of each packet's bytes in a file, in the order of decoding."""
    places, at = [], 0
    with av.open(io.BytesIO(content)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                at = content.index(bytes(packet), at)
                places.append((at, packet.size))
                at += packet.size
    return places


def holed(content, position):
    """Zeros within a packet."""
    at, size = packets_in(content)[position]
    return content[: at + size // 2] + bytes(size // 4) + content[at + size // 2 + size // 4 :]


def emptied(content, position):
    """Zeros from the middle of a packet to its end, as where a download was broken off and its room kept."""
    at, size = packets_in(content)[position]
    return content[: at + size // 2] + bytes(size - size // 2) + content[at + size :]


def flipped(content, position):
    """Bits within a packet are flipped, so that a decoder sees it: not every decoder always does."""
    at, size = packets_in(content)[position]
    for seed in range(100):
        damaged, random = bytearray(content), np.random.default_rng(seed)
        for place in random.integers(at + size // 4, at + size, 12):
            damaged[place] ^= 1 << random.integers(8)
        if position in plain(bytes(damaged)).bad:
            return bytes(damaged)
    raise AssertionError("no damage is seen")


DAMAGED = {
    "mp4-h264": h264,
    "mp4-h264-without-b": lambda: h264(between=0),
    "mp4-pyramid": odd_clips.SOUND["mp4-pyramid"],
    "mp4-fragmented": odd_clips.SOUND["mp4-fragmented"],
    "mkv-h264": odd_clips.SOUND["mkv-h264"],
    "mp4-trimmed": lambda: odd_clips.edited(h264(), [(2, 36)]),
    "mp4-open": odd_clips.SOUND["mp4-open"],
    "mp4-refreshed": odd_clips.SOUND["mp4-refreshed"],
    "avi-h264": odd_clips.SOUND["avi-h264"],
    "flv-h264": odd_clips.SOUND["flv-h264"],
    "avi-mpeg4": odd_clips.SOUND["avi-mpeg4"],
    "mp4-av1": lambda: odd_clips.av1(images=pictures(COUNT, (128, 96)), size=(128, 96)),
}
TOLD = ("mp4-h264", "mp4-h264-without-b", "mp4-pyramid", "mp4-fragmented", "mkv-h264", "mp4-trimmed", "mp4-open")
PROVEN = ("mp4-h264", "mp4-h264-without-b", "mp4-pyramid", "mp4-fragmented", "mkv-h264")


POSITIONS = [*(pytest.param(position, marks=pytest.mark.soak) for position in (14, 18, 26)), 17, 19]


@pytest.mark.parametrize(
    ("name", "damage"),
    [*((name, flipped) for name in DAMAGED), *itertools.product(TOLD, [holed, emptied])],  # else none tells, or chance
)
@pytest.mark.parametrize("position", POSITIONS)
def test_of_a_damaged_clip_only_undamaged_pictures_are_given(write, name, damage, position):
    path = write(f"DAMAGED-{name}", DAMAGED[name])
    right = plain(path)
    hurt = write(f"{name}-{damage.__name__}-{position}", lambda: damage(path.read_bytes(), position))
    seen = plain(hurt)
    by_position = dict(zip(seen.positions, seen.images, strict=True))
    numbers = [*range(len(right.images))]
    given = {}
    for frames in (numbers, *([number] for number in numbers)):
        images, refusal = until_refused(VideoReader(hurt).read(frames))
        assert bool(refusal) == (len(images) < len(frames))
        given |= dict(zip(frames, images, strict=False))
    for number, image in given.items():
        assert right.positions[number] not in seen.bad
        np.testing.assert_array_equal(image, right.images[number], err_msg=f"frame {number}")
        np.testing.assert_array_equal(image, by_position[right.positions[number]], err_msg=f"frame {number}")
    assert right.positions.index(position) not in given
    start = max(key for key in right.keys if key <= position)
    assert given.keys() >= {number for number, each in enumerate(right.positions) if each < start}
    if name in PROVEN:
        stop = min(key for key in right.keys if key > position)
        assert given.keys() >= {number for number, each in enumerate(right.positions) if each >= stop}


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi", "flv", "h264"])
@pytest.mark.parametrize("between", [0, 2, 5])
@pytest.mark.parametrize("position", POSITIONS)
def test_behind_a_lost_packet_only_pictures_that_need_it_not_are_given(write, container, between, position):
    right = plain(write(f"LOST-{container}-{between}", lambda: h264(container, between=between)))
    path = write(f"{container}-{between}-{position}", lambda: h264(container, between=between, rework=lost(position)))
    whole = plain(path)
    for frames in ([*range(COUNT - 1)], *([number] for number in range(COUNT - 1))):
        images, _ = until_refused(VideoReader(path).read(frames))
        for number, image in zip(frames, images, strict=False):
            np.testing.assert_array_equal(image, whole.images[number])
            np.testing.assert_array_equal(image, right.images[number_of(image)])


@pytest.mark.parametrize(
    "parameters",
    [
        "bframes=0",
        "bframes=0:ref=5",
        "bframes=2:b-pyramid=none",
        "bframes=3:b-pyramid=strict:b-adapt=0",
        "bframes=16:b-pyramid=normal:b-adapt=0",
        "bframes=5:b-adapt=2:ref=8:weightp=2",
        "bframes=3:open-gop=1",
        "bframes=0:intra-refresh=1",
        "bframes=3:slices=3",
        "bframes=3:bluray-compat=1:keyint=24",
        "bframes=3:keyint=300",
        "bframes=0:keyint=300",
        "bframes=0:keyint=300:ref=1:cabac=0",
        "bframes=4:keyint=2:min-keyint=1",
        "bframes=3:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500",
        "bframes=3:aud=1:pic-struct=1:cqm=jvt",
    ],
)
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_headers_tell_the_order_of_the_times_and_that_nothing_is_missing(parameters, container):
    content = odd_clips.film(
        container=container, images=pictures(200, (32, 32)), size=(32, 32), between=None, options=x264(parameters)
    )
    headers, packets = read_headers(content)
    order = PictureOrder(headers.sequence)
    assert headers.sequence.tells_order
    followed = [(order.follow(headers.picture(data)), pts) for data, pts in packets]
    assert not any(missing for (_, missing), _ in followed)
    assert sorted(range(200), key=lambda at: followed[at][0][0]) == sorted(range(200), key=lambda at: followed[at][1])
    assert len({place for (place, _), _ in followed}) == 200


@pytest.mark.parametrize("between", [0, 2, 5])
def test_headers_tell_that_a_reference_is_missing(between):
    headers, packets = read_headers(h264(parameters="b-adapt=0", between=between))
    read = [headers.picture(data) for data, _ in packets]
    assert any(picture.reference for picture in read)
    assert all(picture.reference for picture in read) == (between == 0)
    for lost_one, picture in enumerate(read[:-1]):
        if lost_one == 0:
            continue  # the first key frame, without which no clip is proven
        order, rest = PictureOrder(headers.sequence), read[:lost_one] + read[lost_one + 1 :]
        missing = [order.follow(each)[1] for each in rest]
        seen = picture.reference and not read[lost_one + 1].idr
        assert missing.index(True) == lost_one if seen else not any(missing)


def read_headers(content):
    with av.open(io.BytesIO(content)) as container:
        headers = Headers(container.streams.video[0].codec_context.extradata)
        return headers, [(bytes(packet), packet.pts) for packet in container.demux(video=0) if packet.size]
