"""What a data module of a layout of one's own has to write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from .crops.labels import Labels
from .faces.tracks import FaceTracks


class ClipSource(ABC):
    """Says which clips there are, where their faces are and what of them is forged.

    `VideoDataModule` makes loaders of it; `FaceForensicsDataModule` and `VideoFolderDataModule` are two of them.

    Examples:
        >>> for name in sorted(ClipSource.__abstractmethods__):  # what a layout of one's own has to write
        ...     print(name)
        check_clips
        find_clips
        list_files
        make_labels
        notes
        place
    """

    @property
    @abstractmethod
    def place(self) -> Path:
        """The folder or file that names the clips, for sentences about them."""

    @abstractmethod
    def list_files(self) -> pd.DataFrame:
        """What the files of the selected clips are, whether or not they can be read.

        Returns:
            The table that `clips.identity.identify_files` makes of clips, or one with its columns.

        Raises:
            FileNotFoundError: None of them is there.
            ValueError: What names them cannot be read.
        """

    @abstractmethod
    def find_clips(self) -> tuple[pd.DataFrame, FaceTracks, FaceTracks]:
        """Finds the clips and their faces.

        Returns:
            One row a clip, numbered by unique labels, with the columns of `clips.index.Clip`, of which `add_facts`
            finds out all that the files hold, `split` (train, val or test) and `pair` (one name for clips of the same
            people); the tracks that crops are cut out by; the tracks where pixels are measured.

        Raises:
            FileNotFoundError: What was asked for is not there.
            ValueError: It cannot be used.
        """

    @abstractmethod
    def make_labels(self) -> Labels:
        """Says what of a frame counts as forged; asked for by each loader, when the clips are known."""

    @abstractmethod
    def notes(self, clips: pd.DataFrame) -> Iterable[str]:
        """Sentences for the user on what a selection of clips leaves out or does not know.

        Args:
            clips: Of all splits, as `find_clips` gave them.
        """

    @abstractmethod
    def check_clips(self, clips: pd.DataFrame, stage: str) -> None:
        """Sees that a stage can be run on these clips.

        Args:
            clips: Of all splits.
            stage: fit, validate, test, predict or "".

        Raises:
            ValueError: It cannot.
        """
