"""Plans and runs rows of tables: `python -m experiments plan|run table-3 --seeds 0 1 -- --any.option value`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.splits import read_splits

from .baseline_steps import baseline_steps
from .estimate import estimate, spoken
from .folder import write_text
from .launch import Local
from .plan import FAILED, Job, Planned, jobs, plan, resolved, state
from .quick import HEADING, as_changes, as_options, quick
from .settings import Config, Settings, with_changes
from .share import link, move_aside
from .steps import Step, carry_out
from .tables import HERE, Row, find_rows

OFFICIAL_PAIRS = (360, 70, 70)
"""Identity pairs of FaceForensics++'s training, validation and test split."""


class Wanted(NamedTuple):
    """What was asked for on the command line.

    Attributes:
        rows: By name or table.
        runs: Folder of runs.
        options: Of every row, further options of its command.
        configs: Resolved with them, also those of needed rows.
        jobs: Each row with each seed.
    """

    rows: list[Row]
    runs: Path
    options: dict[Row, list[str]]
    configs: dict[Row, Config]
    jobs: list[Job]


def run(arguments: Sequence[str]) -> None:
    """Trains and tests rows: needed ones first, each training once, on from where it stopped.

    Args:
        arguments: See `--help`.

    Raises:
        SystemExit: Status 1 where rows failed; they are named with their reasons.
    """
    parser = _parser("run", "Trains and tests rows.")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time (default 1)")
    options, wanted = _wanted(parser, arguments)
    if options.jobs < 1:
        raise ValueError(f"--jobs is {options.jobs}, wanted 1 or more")
    planned = plan(wanted.jobs, wanted.runs)
    while stale := [one for one in planned if one.state == "stale"]:
        for one in stale:
            print(f"{one.folder.path} is stale ({one.why}): moved to {move_aside(one.folder)}")
        planned = plan(wanted.jobs, wanted.runs)
    if options.quick:
        write_text(wanted.runs / "heading.txt", f"{HEADING}\n")
    print(_sum(planned, wanted))
    left = [one for one in planned if one.state != "done"]
    names = {_name(one.job) for one in left}
    steps = [_step(one, wanted, names) for one in left]
    steps += baseline_steps(wanted.jobs, wanted.runs, wanted.options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = carry_out(steps, Local(options.jobs), options.jobs)
    except KeyboardInterrupt:
        print("ended: the same command goes on from here", file=sys.stderr)
        raise SystemExit(130) from None
    for one in left:
        if (reason := failed.get(_name(one.job))) and one.folder.path.is_dir():
            write_text(one.folder.path / FAILED, f"{reason}\n")
    if failed:
        print(f"\n{len(failed)} of {len(steps)} failed; the same command tries them again:", file=sys.stderr)
        for name, reason in failed.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        raise SystemExit(1)


def show(arguments: Sequence[str]) -> None:
    """Prints what `run` would do, with an estimate of the time it takes; changes nothing.

    Args:
        arguments: See `--help`.
    """
    _, wanted = _wanted(_parser("plan", "Says what run would do."), arguments)
    planned = plan(wanted.jobs, wanted.runs)
    times = estimate(planned, wanted.runs, _pairs(wanted)).seconds
    table = ""
    for one, seconds in zip(planned, times, strict=True):
        if one.job.row.table != table:
            table = one.job.row.table
            print(f"\n{table}")
        seed = f" seed{one.job.seed}" if len({job.seed for job in wanted.jobs}) > 1 else ""
        print(f"  {one.job.row.name + seed:36} {_said(one):12} {spoken(seconds) if seconds else '':>9}  {_why(one)}")
    print(f"\n{_sum(planned, wanted)}")


def _said(one: Planned) -> str:
    return "failed" if one.failure else one.state


def _why(one: Planned) -> str:
    needs = [f"needs {one.job.needs}"] if one.job.needs and one.trains else []
    shares = [f"shares {'/'.join(one.home.parts[-3:])}"] if one.home else []
    left_out = [f"without {test.name}, which is not on disk" for test in one.job.tests if test.lacking]
    reason = [one.failure or one.why] if one.failure or one.why else []
    return "; ".join([*reason, *shares, *needs, *left_out])


def _sum(planned: Sequence[Planned], wanted: Wanted) -> str:
    keys = {one.job.key for one in planned if not one.job.config.get("checkpoint_from")}
    left = {one.job.key for one in planned if one.trains and not one.job.config.get("checkpoint_from")}
    rows = [one for one in planned if one.job.row.listed]
    done = sum(one.state == "done" for one in rows)
    told = estimate(planned, wanted.runs, _pairs(wanted))
    return (
        f"{len(rows)} rows, {done} of them done; {len(keys)} distinct trainings, {len(left)} still to be done: "
        f"about {spoken(sum(told.seconds))} one after the other, by {told.source}"
    )


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"python -m experiments {command}", description=description)
    parser.add_argument("names", nargs="*", help="such as table-1/resnet50-unet or table-1 (default: every table)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of every row (default 0)")
    parser.add_argument("--runs", type=Path, help="folder of runs (default runs, with --quick runs/quick)")
    parser.add_argument("--quick", action="store_true", help="make every row small enough to be tried on a laptop")
    parser.add_argument("--tables", type=Path, default=HERE, help="folder of base.yaml and of the tables' folders")
    parser.epilog = "What follows -- are options of every row, such as -- --data.init_args.root /data/FF++"
    return parser


def _wanted(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, Wanted]:
    words = list(arguments)
    cut = words.index("--") if "--" in words else len(words)
    options, more = parser.parse_args(words[:cut]), words[cut + 1 :]
    rows = find_rows(options.names, options.tables.resolve())
    configs = resolved(rows, Settings(more).of)
    made = {row: list(more) for row in configs}
    if options.quick:
        for row, config in configs.items():
            pairs = len(read_splits(_splits(config))["train"])
            asked = {word.removeprefix("--").partition("=")[0] for word in more if word.startswith("--")}
            small = {key: value for key, value in quick(config, pairs).items() if key not in asked}
            made[row] = [*as_options(small), *more]
            configs[row] = with_changes(config, as_changes(small))
    runs = options.runs or Path("runs", "quick") if options.quick else options.runs or Path("runs")
    return options, Wanted(rows, runs, made, configs, jobs(configs, options.seeds))


def _splits(config: Config) -> Path:
    data = config["data"]["init_args"]
    return Path(data["splits"] or Path(data["root"], "splits"))


def _pairs(wanted: Wanted) -> tuple[int, int, int]:
    folder = _splits(next(iter(wanted.configs.values())))
    if not folder.is_dir():
        return OFFICIAL_PAIRS
    splits = read_splits(folder)
    return len(splits["train"]), len(splits["val"]), len(splits["test"])


def _step(one: Planned, wanted: Wanted, left: set[str]) -> Step:
    job, folder = one.job, one.folder

    def command() -> list[str] | None:
        (folder.path / FAILED).unlink(missing_ok=True)
        if one.home and one.state not in ("done", "to test"):
            link(one.home, folder)
        if state(job, folder)[0] == "done":
            return None
        words = [*job.row.files, *wanted.options[job.row], f"--seed_everything={job.seed}"]
        return [sys.executable, "-m", "experiments", "row", *words, f"--trainer.default_root_dir={folder.path}"]

    def lacking() -> str:
        kind, why = state(job, folder)
        return "" if kind == "done" else f"ended, but is {kind} {why}".strip()

    after = tuple(name for name in map(_name, one.after) if name in left)
    return Step(_name(job), after, command, lacking, folder.path / "log.txt")


def _name(job: Job) -> str:
    return f"{job.row} seed{job.seed}"
