"""Writes small clips of every kind that a video reader is known to stumble over, by PyAV alone."""

import io
import os
import struct
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 says errors only

SIZE = 64, 48
RATE = 25
COUNT = 40
GROUP = 12


@lru_cache
def pictures(count=COUNT, size=SIZE):
    """Pictures that carry their number as eight bars, above a texture that moves."""
    width, height = size
    random = np.random.default_rng(0)
    texture = random.integers(60, 200, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    texture = texture + random.integers(-20, 20, texture.shape)
    made = []
    for number in range(count):
        image = np.roll(texture, (number, 3 * number), (0, 1)).astype(np.uint8)
        bits = np.array([number >> bit & 1 for bit in range(8)])
        image[: height // 2] = np.repeat(40 + 170 * bits, width // 8)[None, :, None]
        made.append(image)
    return made


def painted(image, form):
    """A picture as PyAV's frame; with a palette of 6 x 6 x 6 colours if it needs one."""
    if form != "pal8":
        return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=form)
    levels = np.arange(256)[:, None] // (36, 6, 1) % 6 * 51
    colours = np.concatenate([np.full((256, 1), 255), levels], 1).astype(np.uint8)
    return av.VideoFrame.from_ndarray(((image // 43 * (36, 6, 1)).sum(2).astype(np.uint8), colours), format="pal8")


def shape(stream, size=SIZE, form="yuv420p"):
    """Says what a stream's pictures are like, before its encoder is opened."""
    stream.width, stream.height = size
    stream.pix_fmt = form
    return stream


def encoded(stream, images, form="yuv420p"):
    """All packets of a stream, in the order of decoding."""
    packets = []
    for number, image in enumerate(images):
        frame = painted(image, form)
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        packets += stream.encode(frame)
    return packets + stream.encode()


def film(codec="libx264", container="mp4", *, images=None, form="yuv420p", group=GROUP, between=2, **more):
    """The bytes of a clip.

    Args:
        codec: Encoder.
        container: Muxer.
        images: What is shown; by default `pictures()`.
        form: Pixel format.
        group: Pictures from one key frame to the next.
        between: Pictures in a row that refer to a later one; None where the codec knows of none.
        more: `size` of the pictures, `options` of the encoder, `mux` of the muxer, `rework` that makes other packets of
            all of them, `before` that is called with the container before the stream is added, `prepare` with both when
            it is, and `behind` with the container once the clip is written.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=more.get("mux", {})) as out:
        more.get("before", lambda out: None)(out)
        stream = out.add_stream(codec, rate=RATE, options={"threads": "1", **more.get("options", {})})
        stream.codec_context.gop_size = group
        if between is not None:
            stream.codec_context.max_b_frames = between
        more.get("prepare", lambda out, stream: None)(out, stream)
        packets = encoded(shape(stream, more.get("size", SIZE), form), images or pictures(), form)
        for packet in more.get("rework", lambda packets: packets)(packets):
            out.mux(packet)
        more.get("behind", lambda out: None)(out)
    return file.getvalue()


def x264(parameters="", **more):
    """Options of an encoder whose output is the same each time."""
    return {"crf": "24", "x264-params": f"asm=sse4.2:scenecut=0:{parameters}".rstrip(":"), **more}


def h264(container="mp4", parameters="", **more):
    return film(container=container, options=x264(parameters), **more)


def hevc(container="mp4", parameters="", **more):
    return film("libx265", container, options={"x265-params": f"log-level=none:pools=none:{parameters}"}, **more)


def av1(container="mp4", **more):
    return film("libsvtav1", container, options={"preset": "12", "svtav1-params": "lp=1"}, between=None, **more)


def lost(*positions):
    """Takes packets away, as a bad line does."""
    return lambda packets: [packet for number, packet in enumerate(packets) if number not in positions]


def later(frames):
    """Moves all times by so many frames; below 0 the muxer writes an edit that leaves out what lies before it."""

    def move(packets):
        for packet in packets:
            ticks = round(frames / RATE / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return packets

    return move


def doubled(*positions):
    """Gives pictures the time of the ones behind them; for clips without B-frames."""

    def double(packets):
        for number in positions:
            packets[number].pts = packets[number + 1].pts
        return packets

    return double


def edited(content, edits):
    """Replaces the edit list of an MP4 file whose index is at its end.

    Args:
        content: The file, with one track.
        edits: First frame, or None for a gap, and number of frames, of each edit.
    """
    movie, box = content.rindex(b"moov") - 4, content.rindex(b"edts") - 4
    track = content.rindex(b"trak", 0, box) - 4
    length = int.from_bytes(content[box : box + 4])
    last = box + 12 + 12 * int.from_bytes(content[box + 20 : box + 24])
    offset = int.from_bytes(content[last + 4 : last + 8])  # where frame 0 lies in the media
    unit = int.from_bytes(content[content.rindex(b"mdhd") + 16 :][:4]) // RATE
    entries = [
        struct.pack(">IiI", frames * 1000 // RATE, -1 if first is None else offset + first * unit, 1 << 16)
        for first, frames in edits
    ]
    lists = struct.pack(">I4sII", 16 + 12 * len(entries), b"elst", 0, len(entries)) + b"".join(entries)
    new = bytearray(content[:box] + struct.pack(">I4s", len(lists) + 8, b"edts") + lists + content[box + length :])
    for start in (movie, track):
        grown = int.from_bytes(new[start : start + 4]) + len(lists) + 8 - length
        new[start : start + 4] = grown.to_bytes(4)
    return bytes(new)


def grows(container="mp4", codec="libx264"):
    """A clip whose second half is of twice the size."""

    def append(packets):
        encoder = av.CodecContext.create(codec, "w")
        encoder.time_base, encoder.framerate, encoder.options = Fraction(1, RATE), RATE, {"threads": "1", **x264()}
        encoder.max_b_frames = 0
        added = encoded(shape(encoder, (128, 96)), pictures(20, (128, 96)))
        for packet in added:
            packet.stream = packets[0].stream
        return packets + later(20)(added)

    return film(codec, container, images=pictures(20), options=x264(), between=0, rework=append)


def _sing(out, cover, sound):
    tone = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
    tone.sample_rate, tone.pts = 8000, 0
    for packet in [*encoded(cover, pictures(1), "yuvj420p"), *sound.encode(tone), *sound.encode()]:
        out.mux(packet)


def _cover(out):
    cover = shape(out.add_stream("mjpeg", rate=RATE, options={"threads": "1"}), form="yuvj420p")
    cover.disposition = av.stream.Disposition.attached_pic
    return cover, out.add_stream("aac", rate=8000, layout="mono")


def song():
    """Sound with a cover picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        _sing(out, *_cover(out))
    return file.getvalue()


def film_with_cover():
    """A film behind a cover picture and sound."""
    others = []
    return h264(before=lambda out: others.extend(_cover(out)), behind=lambda out: _sing(out, *others))


def several(container="mp4"):
    """Two films in one file: the second one is smaller and runs backwards."""
    others = []

    def add(out, _):
        others.append(shape(out.add_stream("libx264", rate=RATE, options={"threads": "1", **x264()}), (32, 32)))

    def show(out):
        for packet in encoded(others[0], pictures(COUNT, (32, 32))[::-1]):
            out.mux(packet)

    return h264(container, prepare=add, behind=show)


def palette(container="avi"):
    """Pictures of numbers into a table of colours, uncompressed."""
    return film("rawvideo", container, form="pal8", between=None)


def titled(container="avi"):
    """A clip whose title is written in Latin-1, as older programs do."""
    return h264(container, before=lambda out: out.metadata.update(title="Gespraech")).replace(
        b"Gespraech", b"Gespr\xe4\xdfch"
    )


def turned(degrees, mirrored=False, **more):
    """A clip that is shown turned, as phones write it."""
    return h264(prepare=lambda _, stream: stream.set_display_rotation(degrees, hflip=mirrored), **more)


VP9 = {"deadline": "realtime", "cpu-used": "8"}
HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5"}
"""Pictures that are never shown, to which others refer."""

OPEN = "open-gop=1:keyint=12:min-keyint=12"

SOUND = {
    "avi-h264": lambda: h264("avi"),
    "avi-mpeg4": lambda: film("mpeg4", "avi"),
    "avi-mpeg4-without-b": lambda: film("mpeg4", "avi", between=0),
    "avi-mjpeg": lambda: film("mjpeg", "avi", form="yuvj420p", between=None),
    "avi-palette": palette,
    "avi-msvideo1": lambda: film("msvideo1", "avi", form="rgb555le", between=None),
    "mov-palette": lambda: film("qtrle", "mov", form="gray", between=None),
    "asf-wmv2": lambda: film("wmv2", "asf", between=None),
    "asf-msmpeg4": lambda: film("msmpeg4", "asf", between=None),
    "ps-mpeg1": lambda: film("mpeg1video", "mpeg"),
    "ps-mpeg2": lambda: film("mpeg2video", "mpeg"),
    "vob-mpeg2": lambda: film("mpeg2video", "vob"),
    "vob-mpeg1": lambda: film("mpeg1video", "vob"),
    "vob-h264": lambda: h264("vob"),
    "ts-h264": lambda: h264("mpegts"),
    "ts-mpeg2": lambda: film("mpeg2video", "mpegts"),
    "ts-hevc": lambda: hevc("mpegts"),
    "flv-h264": lambda: h264("flv"),
    "flv-flv1": lambda: film("flv", "flv", between=None),
    "mkv-h264": lambda: h264("matroska"),
    "mkv-mpeg4": lambda: film("mpeg4", "matroska"),
    "mkv-vp9": lambda: film("libvpx-vp9", "matroska", between=None, options=VP9),
    "webm-vp9-hidden-pictures": lambda: film("libvpx-vp9", "webm", between=None, options=HIDDEN),
    "webm-vp8-hidden-pictures": lambda: film("libvpx", "webm", between=None, options=HIDDEN),
    "mkv-av1": lambda: av1("matroska"),
    "mkv-hevc": lambda: hevc("matroska"),
    "mp4-h264": h264,
    "mp4-mpeg4": lambda: film("mpeg4"),
    "mp4-hevc": hevc,
    "mp4-hevc-open": lambda: hevc(parameters=f"{OPEN}:bframes=3"),
    "mp4-av1": av1,
    "mp4-vp9": lambda: film("libvpx-vp9", between=None, options=VP9),
    "mp4-fragmented": lambda: h264(mux={"movflags": "frag_keyframe"}),
    "mp4-fragmented-empty-header": lambda: h264(mux={"movflags": "frag_keyframe+empty_moov"}),
    "mp4-fragmented-fields": lambda: h264(mux={"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
    "mp4-same-times": lambda: h264(between=0, rework=doubled(7, 20)),
    "mp4-refreshed": lambda: h264(parameters="intra-refresh=1:keyint=10", between=0),
    "mp4-refreshed-b": lambda: h264(parameters="intra-refresh=1:keyint=10"),
    "mp4-open": lambda: h264(parameters=OPEN, between=3),
    "mp4-pyramid": lambda: h264(parameters="b-pyramid=normal:b-adapt=0", between=5),
    "mp4-shown-later": lambda: h264(rework=later(7)),
    "h264": lambda: h264("h264"),
    "hevc": lambda: hevc("hevc"),
    "mjpeg": lambda: film("mjpeg", "mjpeg", form="yuvj420p", between=None),
    "ivf-av1": lambda: av1("ivf"),
    "obu-av1": lambda: av1("obu"),
    "m4v": lambda: film("mpeg4", "m4v"),
    "mpg-elementary": lambda: film("mpeg2video", "mpeg2video"),
    "y4m": lambda: film("wrapped_avframe", "yuv4mpegpipe", between=None),
    "nut-mpeg4": lambda: film("mpeg4", "nut"),
    "mxf-mpeg2": lambda: film("mpeg2video", "mxf"),
    "rm-rv20": lambda: film("rv20", "rm", between=None),
    "rm-rv10": lambda: film("rv10", "rm", between=None),
    "ogg-vp8": lambda: film("libvpx", "ogg", between=None),
    "mp4-several": several,
    "mkv-several": lambda: several("matroska"),
    "mp4-cover-and-film": film_with_cover,
    "avi-latin-title": titled,
    "mp4-latin-title": lambda: titled("mp4"),
}
"""Clips that lack nothing, by name: all of `pictures()` must come."""

EDITED = {
    "mp4-trimmed-by-times-below-0": (lambda: h264(rework=later(-15)), [*range(15, 40)]),
    "mp4-trimmed-without-b": (lambda: h264(between=0, rework=later(-15)), [*range(15, 40)]),
    "mp4-trimmed-at-both-ends": (lambda: edited(h264(), [(10, 20)]), [*range(10, 30)]),
    "mp4-trimmed-to-a-key-frame": (lambda: edited(h264(), [(12, 20)]), [*range(12, 32)]),
    "mp4-trimmed-mpeg4": (lambda: edited(film("mpeg4"), [(10, 20)]), [*range(10, 30)]),
    "mp4-trimmed-hevc": (lambda: edited(hevc(), [(10, 20)]), [*range(10, 30)]),
    "mp4-trimmed-av1": (lambda: edited(av1(), [(10, 20)]), [*range(10, 30)]),
    "mp4-trimmed-vp9": (lambda: edited(film("libvpx-vp9", between=None, options=VP9), [(10, 20)]), [*range(10, 30)]),
    "mp4-empty-at-the-start": (lambda: edited(h264(), [(None, 10), (0, 40)]), [*range(40)]),
    "mp4-shown-twice": (lambda: edited(h264(), [(0, 20), (10, 20)]), [*range(20), *range(10, 30)]),
    "mp4-shown-back-to-front": (lambda: edited(h264(), [(20, 20), (0, 20)]), [*range(20, 40), *range(20)]),
    # FFmpeg shows some pictures twice here, and so it is what a plain decode puts out.
    "mp4-gap": (lambda: edited(h264(), [(0, 20), (None, 10), (25, 15)]), [*range(20), *range(8), *range(25, 40)]),
}
"""Clips of which an edit list shows a part, by name, with the pictures that are shown."""

TURNED = {
    f"mp4-{degrees}{'-mirrored' * mirrored}": (degrees, mirrored)
    for degrees in (0, 90, 180, 270)
    for mirrored in (False, True)
}

HEADLESS = {
    "mp4-h264": lambda: h264(rework=lost(*range(7))),
    "mkv-h264": lambda: h264("matroska", rework=lost(*range(7))),
    "ts-h264": lambda: h264("mpegts", rework=lost(*range(7))),
    "avi-h264": lambda: h264("avi", rework=lost(*range(7))),
    "flv-h264": lambda: h264("flv", rework=lost(*range(7))),
    "ps-mpeg2": lambda: film("mpeg2video", "mpeg", rework=lost(*range(7))),
    "mp4-hevc": lambda: hevc(rework=lost(*range(7))),
    "mp4-av1": lambda: av1(rework=lost(*range(7))),
    "mp4-open": lambda: h264(parameters=OPEN, between=3, rework=lost(*range(7))),
    "ts-open": lambda: h264("mpegts", parameters=OPEN, between=3, rework=lost(*range(7))),
    "avi-mpeg4": lambda: film("mpeg4", "avi", rework=lost(*range(7))),
    "flv-flv1": lambda: film("flv", "flv", between=None, rework=lost(*range(7))),
    "asf-wmv2": lambda: film("wmv2", "asf", between=None, rework=lost(*range(7))),
}
"""Clips that begin between key frames: the first one is picture 12."""

GROWING = {
    "mp4-h264": grows,
    "mkv-h264": lambda: grows("matroska"),
    "ts-h264": lambda: grows("mpegts"),
    "avi-mpeg4": lambda: grows("avi", "mpeg4"),
    "mkv-vp9": lambda: grows("matroska", "libvpx-vp9"),
}
"""Clips whose pictures change their size at picture 20."""
