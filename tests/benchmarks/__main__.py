"""Measures the data room against the bare decoder, training against a loop by hand, and measuring: `make bench`.

All comparisons run in one process tree on the same files, in turn, several times over; what counts is the median of the
ratios. A bound that is missed is printed as missed. The files are 16 clips with masks of 640x480 and of 1280x720, 450
frames, key frames at most 250 apart, crf 23, made once and kept in `runs/bench/files`.

"Frames gone past" are those of a video and its mask up to the last wanted one; pictures that the stream need not decode
are among them, so this rate may exceed the bare decoder's.

Past this machine, on paper. An epoch over c23's training split has 720 originals and 4 x 720 fakes, 3600 clips. Taking
half of them for 640x480 and half for 1280x720, of which one core gives r and s useful frames a second, an epoch of 270
frames a clip costs 3600 x 270 / 2 x (1 / r + 1 / s) core-seconds; the last lines of the output work it out at the rates
just measured. Originals have no mask to decode, so it is a little less; larger videos cost more.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from tests.benchmarks.clips import CLIPS, FRAMES, clip_paths, write_clip
from tests.benchmarks.contestants import Clips, Result, median
from tests.benchmarks.evaluation import forward, growth_by_measuring
from tests.benchmarks.memory import growth_by_opening, growth_in_one_process, left_behind, worker_memory
from tests.benchmarks.training import loop_step, module_step

Contest = tuple[str, float, Callable[[], Result], Callable[[], Result]]
"""Name, bound, ours, theirs."""


def main() -> None:
    """Runs the benchmark and writes `bench.json`."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures the data room and a training step.")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of files and results")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each clip")
    parser.add_argument("--sizes", nargs=2, default=["640x480", "1280x720"], help="the smaller, the larger")
    parser.add_argument("--opens", type=int, default=20_000, help="of a video, to see whether memory grows")
    parser.add_argument("--only", default="", help="comparisons whose name holds this")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    roots = [_files(arguments.out, size, arguments.clips, arguments.frames) for size in arguments.sizes]
    scratch = arguments.out / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    small, large = (Clips(root, scratch / root.name) for root in roots)
    few, many = (min(count, arguments.frames * count // FRAMES) for count in (32, 270))
    rows = run(contests(small, large, few, many), arguments.repeats, arguments.only)
    print_table(rows)
    _write(rows, arguments.out)
    if not arguments.only or "memory" in arguments.only:
        rows += memory(roots, scratch, many, arguments.opens)
        print_table(rows)
        _write(rows, arguments.out)
    shutil.rmtree(scratch, ignore_errors=True)


def contests(small: Clips, large: Clips, few: int, many: int) -> list[Contest]:
    """Every comparison, with the ratio that it must reach."""
    cache = []

    def cached() -> Result:
        if not cache:
            cache.append(small.filled_cache(many))
        return small.stream_useful(many, cache[0])

    rows: list[Contest] = []
    for clips in (small, large):
        for count in (many, few):
            name = f"stream / bare decoder, frames gone past, {count} a clip, {clips.size}"
            rows.append((name, 0.85, partial(clips.stream_passed, count), clips.bare_decoder))
        name = f"stream / sequential decord loop, {many} a clip, {clips.size}"
        rows.append((name, 1.1, partial(clips.stream_useful, many), partial(clips.decord_loop, many)))
    for count, bound in ((few, 8), (many, 40)):
        name = f"stream / a random frame by a fresh decord reader, {count} a clip"
        rows.append((name, bound, partial(small.stream_useful, count), small.random_access))
    first, extract = partial(small.stream_useful, many), partial(small.extract, many)
    rows.append((f"first epoch / extracting PNG and reading it, {many} a clip", 1.5, first, extract))
    rows.append((f"second epoch from the cache / PNG crops, {many} a clip", 1.0, cached, partial(small.read_png, many)))
    two, one = partial(small.loader, many, 2), partial(small.loader, many, 1)
    rows.append((f"two workers / one, {many} a clip", 1.5, two, one))
    for count, bound in ((few, 0.85), (many, 0.5)):
        full, bare = partial(small.loader, count), partial(small.loader, count, transforms=False)
        rows.append((f"loader with training transforms / without, {count} a clip", bound, full, bare))
    step = partial(module_step, small.scratch)
    rows.append(("training step of resnet50-unet / in a loop by hand", 1 / 1.03, step, loop_step))
    measured, bare = (partial(forward, "resnet50", measured) for measured in (True, False))
    rows.append(("forward pass of resnet50-unet, measured / bare", 1 / 1.1, measured, bare))
    return rows


def run(rows: list[Contest], repeats: int, only: str) -> list[dict[str, Any]]:
    """Runs all comparisons in turn, then again, and takes medians."""
    rows = [row for row in rows if only in row[0]]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in rows}
    with tqdm(total=repeats * len(rows), desc="comparing", unit="pair") as bar:
        for repeat in range(repeats):
            for name, _, ours, theirs in rows:
                bar.set_postfix_str(name)
                first, second = (ours, theirs) if repeat % 2 == 0 or "PNG" in name else (theirs, ours)
                results = {way: way() for way in (first, second)}
                rates = {"ours": results[ours][0] / results[ours][1], "theirs": results[theirs][0] / results[theirs][1]}
                runs[name].append(rates)
                bar.update()
    found = []
    for name, bound, *_ in rows:
        ratio = median(one["ours"] / one["theirs"] for one in runs[name])
        found.append(
            {"name": name, "ratio": round(ratio, 3), "bound": bound, "holds": ratio >= bound, "runs": runs[name]}
        )
    return found


def memory(roots: list[Path], scratch: Path, count: int, opens: int) -> list[dict[str, Any]]:
    """Memory as ratios of what is allowed to what was measured, in fresh processes: a worker inherits its parent's."""
    rows: list[tuple[str, float, float, list[Any]]] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for root in roots:
            runs = pool.submit(worker_memory, root, scratch, 10, count).result()
            resident, shared_out = runs["resident_mb"], runs["shared_out_mb"]
            what = f"a worker, 299 px, {count} a clip, {root.name}"
            rows += [
                (f"600 MB / resident memory of {what}", 600 / max(resident), 1.0, [runs]),
                (f"600 MB / memory, shared pages shared out, of {what}", 600 / max(shared_out), 1.0, [runs]),
                (f"105 % of epoch 2 / epoch 10, a worker, {root.name}", 1.05 * resident[1] / resident[-1], 1.0, [runs]),
            ]
        sizes = pool.submit(growth_in_one_process, roots[0], scratch).result()
        rows.append(("105 % of epoch 2 / epoch 10, without workers", 1.05 * sizes[1] / sizes[-1], 1.0, sizes))
        early, late = pool.submit(growth_by_opening, roots[0], scratch, opens).result()
        rows.append(
            (f"101 % of memory at a tenth of {opens} opens / at the end", 1.01 * early / late, 1.0, [early, late])
        )
        early, late = pool.submit(growth_by_measuring, opens).result()
        rows.append(
            (
                f"101 % of memory at a tenth of {opens} frames measured / at the end",
                1.01 * early / late,
                1.0,
                [early, late],
            )
        )
        left = pool.submit(left_behind, roots[0], scratch).result()
        rows.append(("nothing left behind by a loader closed half-way", float(not left), 1.0, left))
    return [
        {"name": name, "ratio": round(ratio, 3), "bound": bound, "holds": ratio >= bound, "runs": runs}
        for name, ratio, bound, runs in rows
    ]


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints the ratios, and what an epoch of the data set would cost at these rates."""
    width = max((len(row["name"]) for row in rows), default=10)
    print(f"{'comparison':{width}}  {'ratio':>7}  {'at least':>8}          ours, theirs (a second)")
    for row in rows:
        rates = [one for one in row["runs"] if isinstance(one, dict) and "ours" in one]
        shown = ", ".join(f"{median(one[who] for one in rates):.5g}" for who in ("ours", "theirs") if rates)
        verdict = "" if row["holds"] else "MISSED"
        print(f"{row['name']:{width}}  {row['ratio']:7.2f}  {row['bound']:8.3g}  {verdict:6}  {shown}")
    decord = [row for row in rows if "decord loop" in row["name"]]
    if len(decord) == 2:
        r, s = (median(one["ours"] for one in row["runs"]) for row in decord)
        seconds = 3600 * 270 / 2 * (1 / r + 1 / s)
        print(f"\nan epoch of 3600 clips x 270 frames, half of each size: {seconds:,.0f} core-seconds at these rates,")
        print(f"that is {seconds / 3600:.1f} hours of one core, {seconds / 3600 / 32:.2f} of 32")


def _write(rows: list[dict[str, Any]], out: Path) -> None:
    (out / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"wrote {out / 'bench.json'}")


def _files(out: Path, size: str, clips: int, frames: int) -> Path:
    """The clips of one size, written in parallel unless they are there."""
    width, height = map(int, size.split("x"))
    root = out / "files" / f"{size}-{frames}"
    missing = [number for number in range(clips) if not all(path.is_file() for path in clip_paths(root, number))]
    if missing:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(len(missing), os.cpu_count() or 1), context, cv2.setNumThreads, (1,)) as pool:
            work = pool.map(partial(write_clip, root, (width, height), frames=frames), missing)
            list(tqdm(work, f"drawing clips of {size}", total=len(missing), unit="clip"))
    videos = [clip_paths(root, number)[0].stat().st_size for number in range(clips)]
    print(f"{size}: {clips} clips of {frames} frames, {sum(videos) / clips / 1e6:.2f} MB each without mask")
    return root


if __name__ == "__main__":
    main()
