"""What rows ask for, told before anything runs: which trainings, which wait for which, which rows share one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config.hashes import training_key
from ..config.layers import Config, apply_changes
from ..config.places import places
from ..config.rows import TAKES, Row, find_rows, order_key
from ..errors import ExperimentValueError
from ..runs.damage import DamagedFileError, DamagedFiles
from ..runs.data_used import EVERY_SPLIT, TRAINING, Data, DataNow, describe_data_difference
from ..runs.folder import RunFolder
from ..runs.run import Run
from ..runs.share import find_home, runs_by_key
from ..training.further_tests import FurtherTest, further_tests

FAILED = "failed.txt"
"""Why a row failed when it was last tried, in its folder."""


TURN = {"interrupted": 0, "damaged": 2}
"""Who of several that ask for the same training does it: states before and behind all others, which have 1."""


class WantedRun(NamedTuple):
    """A row with one seed.

    Attributes:
        row: The row.
        seed: Its seed.
        config: Its resolved configuration.
        key: Hash of the settings that shape its training.
        data: What it learns by and is tested on, as it lies now: rows of equal keys and data can share a training.
        needs: The row of the same seed that it starts from, if any.
        tests: Its further tests.
    """

    row: Row
    seed: int
    config: Config
    key: str
    data: Data
    needs: Row | None
    tests: list[FurtherTest]

    def folder(self, runs: Path) -> RunFolder:
        """Where its run lies under a folder of runs."""
        return Run.of_row(runs, self.row, self.seed).folder

    @property
    def training(self) -> tuple[str, str, str]:
        """What two jobs have in common that can share a training."""
        data = self.data.digest(TRAINING) or repr(sorted(self.data.places.items()))
        return self.key, data, repr(sorted(self.data.others.items()))

    def describe_difference(self, folder: RunFolder) -> str:
        """Says which data are not those of a run by the same settings; "" for none. Untested, its test split may."""
        tested = folder.metrics(None).is_file()
        return describe_data_difference(folder, self.data, EVERY_SPLIT if tested else TRAINING)


class Planned(NamedTuple):
    """A job, and what is to be done about it.

    Attributes:
        job: The job.
        folder: Where its run lies.
        state: `done`, `to test`, `interrupted`, `missing`, `stale` or `damaged`.
        why: More on the state; "" where there is nothing to say.
        home: Folder of the run that it shares, if that is another row's.
        after: Jobs of the plan that must be done before.
    """

    job: WantedRun
    folder: RunFolder
    state: str
    why: str
    home: Path | None
    after: tuple[WantedRun, ...]

    @property
    def trains(self) -> bool:
        """Whether a training of its own is still to be done, or gone on with."""
        return self.home is None and self.state in ("interrupted", "missing", "stale")

    @property
    def failure(self) -> str:
        """Why it failed when it was last tried; "" if it did not."""
        path = self.folder.path / FAILED
        if self.state in ("done", "damaged") or not path.is_file():
            return ""
        return " ".join(path.read_bytes()[:1000].decode(errors="replace").split())


def needed_row(row: Row, config: Config) -> Row | None:
    """The row that a row starts from.

    Raises:
        ValueError: There is no such row.
    """
    names = [str(config[option]).partition("@")[0] for option in TAKES if config.get(option)]
    return find_rows(names, row.folder)[0] if names else None


def resolve_rows(rows: Iterable[Row], resolve: Callable[[Row], Config]) -> dict[Row, Config]:
    """Resolves rows and those they need, each before the rows that need it, else in the order of the tables.

    Raises:
        ValueError: A row needs itself, by whichever way.
    """
    found: dict[Row, Config] = {}

    def add(row: Row, waiting: tuple[Row, ...]) -> None:
        if row in waiting:
            circle = " needs ".join(map(str, (*waiting[waiting.index(row) :], row)))
            raise ExperimentValueError(f"{circle}: no row can be trained first, let one of them start from another")
        if row not in found:
            config = resolve(row)
            if needed := needed_row(row, config):
                add(needed, (*waiting, row))
            found[row] = config

    for row in sorted(rows, key=order_key):
        add(row, ())
    return found


def jobs(
    configs: Mapping[Row, Config],
    seeds: Sequence[int],
    changed: Callable[[Config, Mapping[str, Any]], Config] = apply_changes,
) -> list[WantedRun]:
    """Makes a job of each row and seed, and looks at what their data are.

    Args:
        configs: Resolved, as from `resolved`: each row after the one it needs.
        seeds: Of every row.
        changed: See `further_tests`.
    """
    found: dict[tuple[Row, int], WantedRun] = {}
    data_now = DataNow()
    for seed in seeds:
        for row, config in configs.items():
            own, start = {**config, "seed_everything": seed}, None
            if needed := needed_row(row, config):
                (option,) = [option for option in TAKES if config.get(option)]
                own[option] = f"{needed}@{found[needed, seed].key}"
                start = found[needed, seed].data
            tests = further_tests(own, changed, data_now) if row.is_listed else []
            found[row, seed] = WantedRun(row, seed, own, training_key(own), data_now(own, start), needed, tests)
    return list(found.values())


def plan_jobs(wanted: Sequence[WantedRun], runs: Path, left_out: DamagedFiles | None = None) -> list[Planned]:
    """Looks at what lies under a folder of runs, and says what is to be done about each job.

    A training that several jobs ask for is taken from where it lies, whichever row's folder that is; where none does,
    the first of them does it.

    Args:
        wanted: Each after the one it needs.
        runs: Folder of runs.
        left_out: Is told of damaged files of runs that nobody asked for; those are taken for not there.
    """
    lying = runs_by_key(runs, left_out)
    by_name = {(job.row, job.seed): job for job in wanted}
    states = {id(job): state(job, job.folder(runs)) for job in wanted}
    first: dict[tuple[str, str, str], WantedRun] = {}
    for job in sorted(wanted, key=lambda job: TURN.get(states[id(job)][0], 1)):
        first.setdefault(job.training, job)
    planned = []
    for job in wanted:
        folder = job.folder(runs)
        kind, why = states[id(job)]
        home, after = None, []
        if kind in ("done", "to test", "damaged"):
            home = find_home(folder)
        elif other := _find_same(job, lying.get(job.key, ()), left_out):
            home = other.path
        elif first[job.training] is not job:
            home = first[job.training].folder(runs).path
            after.append(first[job.training])
        if job.needs and kind in ("interrupted", "missing", "stale") and not home:
            after.append(by_name[job.needs, job.seed])
        planned.append(Planned(job, folder, kind, why, home, tuple(after)))
    return _train_lost_again(planned)


def _find_same(job: WantedRun, lying: Iterable[RunFolder], left_out: DamagedFiles | None) -> RunFolder | None:
    """The first run by the same settings whose data are the job's, or lie where the job's would."""
    for run in lying:
        with (left_out or DamagedFiles()).noted():
            known = job.data.clips is not None or places(run.read_config()) == job.data.places
            if known and not job.describe_difference(run):
                return run
    return None


def state(job: WantedRun, folder: RunFolder) -> tuple[str, str]:
    """Compares a run's folder with what a job asks for.

    Returns:
        State and reason, see `Planned`.
    """
    try:
        return _state(job, folder)
    except DamagedFileError as error:
        return "damaged", str(error)


def _state(job: WantedRun, folder: RunFolder) -> tuple[str, str]:
    if folder.config.exists() and not folder.is_started:
        return "missing", ""  # whatever the file says, it will be written anew
    key = folder.key
    if key is None:
        return ("stale", "the run it shared is gone") if folder.config.is_symlink() else ("missing", "")
    if key != job.key:
        return ("stale", ", ".join(folder.list_differences(job.config)[:3])) if folder.is_started else ("missing", "")
    if unlike := job.describe_difference(folder):
        return "stale", unlike
    due = tests_due(job, folder)
    if folder.is_trained or (folder.read_provenance("fit") and not due):
        return ("to test", ", ".join(name or "own test" for name in due)) if due else ("done", "")
    if folder.read_provenance("fit"):
        return "stale", "its checkpoint is gone"
    return ("interrupted", "") if folder.last.is_file() else ("missing", "")


def tests_due(job: WantedRun, folder: RunFolder) -> list[str]:
    """Names of the tests that are still to be done; "" is the row's own."""
    own = [""] if job.row.is_listed and not folder.metrics(None).is_file() else []
    return own + [test.name for test in job.tests if test.is_due(folder)]


def _train_lost_again(planned: Sequence[Planned]) -> list[Planned]:
    """Has a row trained again that is done, but whose checkpoint another one needs and somebody has deleted."""
    needed = {id(job) for one in planned for job in one.after}
    return [
        one._replace(state="stale", why="its checkpoint is gone", home=None)
        if id(one.job) in needed and one.state == "done" and not one.folder.best.is_file()
        else one
        for one in planned
    ]
