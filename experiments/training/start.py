"""A row that starts from another row's run, and where that lies."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..config.rows import TAKES, Row
from ..errors import ExperimentMissingError, ExperimentValueError
from ..runs.folder import RunFolder
from ..runs.run import Run


class Needed(NamedTuple):
    """What a row starts from.

    Attributes:
        option: One of `TAKES`.
        name: Row that is named, `table-2/resnet50-joint`.
        key: Hash of the run that is wanted; "" where any will do and none is known.
        run: Where that row's run of the same seed lies, under the same folder of runs.
    """

    option: str
    name: str
    key: str
    run: RunFolder

    @property
    def value(self) -> str:
        """The option's value as it is kept in config.yaml: the row and, behind `@`, the hash of its run."""
        return f"{self.name}@{self.key}" if self.key else self.name

    def check(self) -> None:
        """Ends with a sentence where the run is not there.

        Raises:
            FileNotFoundError: It is not trained to its end.
            ValueError: It is another one than the row was begun with.
        """
        if not self.run.is_trained:
            raise ExperimentMissingError(
                f"{self.option} is {self.name}, but {self.run.path} holds no run trained to its end: train that row "
                "first, or let `python -m experiments run` (make train EXP=...) train both"
            )
        if self.key and self.run.key != self.key:
            raise ExperimentValueError(
                f"{self.option} is {self.value}, but the run in {self.run.path} is another one, {self.run.key}: leave "
                "out what follows the @, or let `python -m experiments run` begin anew"
            )


def find_needed(settings: Any, folder: RunFolder) -> Needed | None:
    """Finds what a row starts from.

    Args:
        settings: Its configuration.
        folder: Its run's folder, `<runs>/<table>/<row>/seed<n>`.

    Raises:
        ValueError: It names two things to start from.
    """
    named = [option for option in TAKES if settings.get(option)]
    if not named:
        return None
    option = named[0]
    if len(named) > 1:
        raise ExperimentValueError(
            f"{' and '.join(named)} are given, but a run can start from one of them only: leave one out"
        )
    if settings.model.init_args.get("encoder_checkpoint"):
        raise ExperimentValueError(
            f"{option} and model.init_args.encoder_checkpoint are given, but a run can start from one of them only: "
            "leave one out"
        )
    name, _, key = settings[option].partition("@")
    run = Run.of_row(Run.at(folder.path).runs, Row.from_name(name), settings.seed_everything).folder
    return Needed(option, name, key or (run.key if run.is_trained else None) or folder.started_from(option), run)
