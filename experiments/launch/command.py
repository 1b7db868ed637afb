"""Plans and runs rows of tables: `python -m experiments plan|run table-3 --seeds 0 1 -- --any.option value`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from datamodules.files import write_text

from ..config.layers import Config
from ..errors import ExperimentValueError
from ..runs.damage import DamagedFiles
from ..runs.folder_lock import AtWorkError, hold_folder
from ..runs.run import Run
from ..runs.share import link, move_aside
from ..training.nodes import explain_alone
from .baselines import baseline_steps
from .estimate import Estimate, estimate, format_duration, format_span
from .launcher import PROGRAM, Launcher, Resources
from .local import Local
from .plan import FAILED, Planned, WantedRun, plan_jobs, state
from .quick import HEADING
from .request import Request, parser_of, read_request
from .slurm import Slurm
from .slurm_queue import SlurmJob, job_name
from .steps import Step, carry_out


def run_request(arguments: Sequence[str]) -> None:
    """Trains and tests rows: needed ones first, each training once, on from where it stopped.

    Args:
        arguments: See `--help`.

    Raises:
        SystemExit: Status 1 where rows failed; they are named with their reasons. Ctrl-C or a signal ends it after
            what is at work has ended.
    """
    from ..tracking.log_rows import log_missing  # here, for a plan logs nothing

    parser = parser_of("run", "Trains and tests rows.")
    parser.add_argument("--jobs", type=int, help="rows at a time (default 1, of a cluster as many as it takes)")
    options, wanted = read_request(parser, arguments)
    if options.jobs is not None and options.jobs < 1:
        raise ExperimentValueError(f"--jobs is {options.jobs}, wanted 1 or more")
    launcher = _launcher(options, wanted)
    left_out = DamagedFiles()
    planned = plan_jobs(wanted.jobs, wanted.runs, left_out)
    while stale := [one for one in planned if one.state == "stale"]:
        for one in stale:
            if isinstance(launcher, Slurm) and (job := _find_queued(one, launcher.queue.jobs())):
                raise ExperimentValueError(
                    f"{one.folder.path} is stale ({one.why}), but job {job.number} is {job.state_word} there: give the "
                    f"options of that job, or end it by scancel {job.number}"
                )
            print(f"{one.folder.path} is stale ({one.why}): moved to {_move_aside(one)}")
        planned = plan_jobs(wanted.jobs, wanted.runs, left_out)
    if options.quick:
        write_text(wanted.runs / "heading.txt", f"{HEADING}\n")
    print(_sum(planned, estimate(planned, wanted.runs, left_out)))
    _tell_unknown(planned)
    left_out.tell()
    left = [one for one in planned if one.state != "done"]
    names = {_name(one.job) for one in left}
    shared = {_name(one.job) for one in left if one.home}
    steps = [_step(one, wanted, names, shared) for one in left]
    steps += baseline_steps(wanted.jobs, wanted.runs, wanted.options)
    try:
        failed = carry_out(steps, launcher, options.jobs or (len(steps) if launcher.queues else 1))
        log_missing([Run.of_row(wanted.runs, one.job.row, one.job.seed) for one in planned])
    except (KeyboardInterrupt, SystemExit):
        going_on = "; jobs that are queued or running go on, scancel ends them" if launcher.queues else ""
        print(f"ended: the same command goes on from here{going_on}", file=sys.stderr)
        raise
    for one in left:
        if (reason := failed.get(_name(one.job))) and one.folder.path.is_dir():
            with suppress(OSError):  # it is said below as well
                write_text(one.folder.path / FAILED, f"{reason}\n")
    if failed:
        print(f"\n{len(failed)} of {len(steps)} failed; the same command tries them again:", file=sys.stderr)
        for name, reason in failed.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        raise SystemExit(1)


def show(arguments: Sequence[str]) -> None:
    """Prints what `run_request` would do, with an estimate of the time it takes; changes nothing.

    Args:
        arguments: See `--help`.

    Raises:
        SystemExit: Status 1 where the folder of a row is damaged.
    """
    options, wanted = read_request(parser_of("plan", "Says what run would do."), arguments)
    queue = Slurm(options.slurm).queue.jobs() if options.launcher == "slurm" else {}
    left_out = DamagedFiles()
    planned = plan_jobs(wanted.jobs, wanted.runs, left_out)
    told = estimate(planned, wanted.runs, left_out)
    table = ""
    for one, seconds in zip(planned, told.seconds, strict=True):
        if one.job.row.table != table:
            table = one.job.row.table
            print(f"\n{table}")
        seed = f" seed{one.job.seed}" if len({job.seed for job in wanted.jobs}) > 1 else ""
        said, time = _describe(one, _find_queued(one, queue)), format_duration(seconds) if seconds else ""
        print(f"  {one.job.row.name + seed:36} {said:12} {time:>9}  {_why(one)}")
    print(f"\n{_sum(planned, told)}")
    _tell_unknown(planned)
    left_out.tell()
    if any(one.state == "damaged" for one in planned):
        raise SystemExit(1)


def _tell_unknown(planned: Sequence[Planned]) -> None:
    """Says where runs were compared with rows whose data are not to be had now."""
    compared = [one.job for one in planned if one.state in ("done", "to test", "interrupted")]
    for problem in dict.fromkeys(job.data.problem for job in compared if job.data.problem):
        print(f"data of runs are not compared, their settings alone are: {problem}", file=sys.stderr)


def _move_aside(one: Planned) -> Path:
    with hold_folder(one.folder, wait=False):
        return move_aside(one.folder)


def _describe(one: Planned, job: SlurmJob | None) -> str:
    return job.state_word if job else "failed" if one.failure else one.state


def _find_queued(one: Planned, queue: Mapping[str, SlurmJob]) -> SlurmJob | None:
    return queue.get(job_name(_name(one.job), _log(one)))


def _launcher(options: argparse.Namespace, wanted: Request) -> Launcher:
    if options.launcher == "slurm":
        return Slurm(options.slurm)
    for config in wanted.configs.values():
        if (nodes := config["trainer"]["num_nodes"]) > 1:
            raise ExperimentValueError(
                f"{explain_alone(nodes, config['trainer']['devices'])}; or let SLURM do it: --launcher slurm"
            )
    return Local(options.jobs or 1)


def _why(one: Planned) -> str:
    needs = [f"needs {one.job.needs}"] if one.job.needs and one.trains else []
    shares = [f"shares {Run.at(one.home)}"] if one.home else []
    left_out = [f"without {test.name}, which is not on disk" for test in one.job.tests if test.lacking]
    reason = [one.failure or one.why] if one.failure or one.why else []
    return "; ".join([*reason, *shares, *needs, *left_out])


def _sum(planned: Sequence[Planned], told: Estimate) -> str:
    keys = {one.job.training for one in planned if not one.job.config.get("checkpoint_from")}
    left = {one.job.training for one in planned if one.trains and not one.job.config.get("checkpoint_from")}
    rows = [one for one in planned if one.job.row.is_listed]
    done = sum(one.state == "done" for one in rows)
    counted = f"{len(rows)} rows, {done} of them done; {len(keys)} distinct trainings, {len(left)} still to be done"
    if not any(told.seconds):
        return counted
    return (
        f"{counted}: about {format_duration(sum(told.seconds))} one after the other ({format_span(*told.span)}), by "
        f"{'; by '.join(told.sources)}"
    )


def _step(one: Planned, wanted: Request, left: set[str], shared: set[str]) -> Step:
    job, folder = one.job, one.folder

    def command() -> list[str] | None:
        (folder.path / FAILED).unlink(missing_ok=True)
        if one.home and one.state not in ("done", "to test", "damaged"):
            with suppress(AtWorkError), hold_folder(folder, wait=False):  # else the row waits for who is at work there
                link(one.home, folder)
        if state(job, folder)[0] in ("done", "damaged"):
            return None
        words = [*job.row.files, *wanted.options[job.row], f"--seed_everything={job.seed}"]
        return [*PROGRAM, "row", *words, f"--trainer.default_root_dir={folder.path}"]

    def lacking() -> str:
        kind, why = state(job, folder)
        return "" if kind == "done" else why if kind == "damaged" else f"ended, but is {kind} {why}".strip()

    after = tuple(name for name in map(_name, one.after) if name in left)
    early = not one.home and shared.isdisjoint(after)
    return Step(_name(job), after, command, lacking, _log(one), _resources(job.config), early)


def _log(one: Planned) -> Path:
    return one.folder.path / "log.txt"


def _resources(config: Config) -> Resources:
    trainer, devices = config["trainer"], str(config["trainer"]["devices"])
    return Resources(
        devices=int(devices) if devices.isdigit() else 1,
        nodes=trainer["num_nodes"],
        gpus=trainer["accelerator"] in ("auto", "cuda", "gpu"),
        workers=config["data"]["init_args"]["num_workers"],
    )


def _name(job: WantedRun) -> str:
    return f"{job.row} seed{job.seed}"
