"""Lets Weights & Biases log without an account and without waiting for a network that is not there."""

from __future__ import annotations

import difflib
import netrc
import os
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

from ..errors import ExperimentValueError

PROJECT = "pixel-forensics"
"""Where runs are logged, unless a configuration names another project."""

MODES = ("online", "offline", "disabled", "shared")
"""What WANDB_MODE may be."""

ALIASES = {"run": "online", "dryrun": "offline"}
"""Earlier names of modes."""

WAIT_S = 8.0
"""Seconds until no answer means offline."""


def settle_mode(waiting: int = 0) -> None:
    """Decides once, before any run starts, whether W&B logs online; may set WANDB_MODE, which child processes inherit.

    Without a key, or without an answer of its server within `WAIT_S`, the run is logged offline and can be sent later
    with `make wandb-sync`. A WANDB_MODE of the user's is read whatever its case, and only the first process logs
    anything.

    Args:
        waiting: Folders of the run that were logged offline and have not been sent: what follows stays offline, for W&B
            takes a run's rows in their order alone. Not so in a sweep, whose agent has begun a run online.
    """
    from pytorch_lightning.utilities import rank_zero_only  # here, for it takes seconds

    mode = _mode()
    if mode in ("offline", "disabled") or getattr(rank_zero_only, "rank", 0) != 0:
        return
    reason = find_obstacle()
    if waiting and not reason and "WANDB_SWEEP_ID" not in os.environ:
        reason = f"{waiting} earlier parts have not been sent to W&B"
    if reason:
        os.environ["WANDB_MODE"] = "offline"
        print(f"{reason}: logging offline, send later with make wandb-sync")


def _mode() -> str | None:
    """The mode that the user has set, put as W&B reads it; None where there is none.

    Raises:
        ValueError: It is none of W&B's.
    """
    given = os.environ.get("WANDB_MODE")
    if given is None:
        return None
    mode = ALIASES.get(given.strip().lower(), given.strip().lower())
    if not mode:
        del os.environ["WANDB_MODE"]
        return None
    if mode not in MODES:
        nearest = difflib.get_close_matches(mode, MODES, n=1, cutoff=0.0)[0]
        raise ExperimentValueError(
            f"WANDB_MODE is {given!r}, wanted one of {', '.join(MODES)}: did you mean {nearest}?"
        )
    os.environ["WANDB_MODE"] = mode
    return mode


def leave_sweep(row: str) -> None:
    """Has a row that another one needs logged as a run of its own, and not as the run that a sweep's agent has begun.

    Args:
        row: The one that runs; `SWEEP_ROW` names the one that the agent was given.
    """
    if os.environ.get("SWEEP_ROW", row) != row:
        for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
            os.environ.pop(name, None)


def find_obstacle() -> str | None:
    """Why nothing can be sent to W&B now, None if it can; known after `WAIT_S` at the latest."""
    address = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    if not _has_key(address):
        return "no key for W&B (wandb login)"
    if not _answers(address):
        return f"{address} does not answer"
    return None


def finish(exit_code: int) -> None:
    """Completes the run that this process logs, if there is one; W&B shows it as crashed unless the code is 0."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish(exit_code=exit_code)


def one_line(error: BaseException) -> str:
    """What an error says, its lines joined."""
    return " ".join(str(error).split()) or type(error).__name__


def _has_key(address: str) -> bool:
    """Whether there is a key, in the environment or where `wandb login` puts it; spaces round it are taken off."""
    key = os.environ.get("WANDB_API_KEY", "").strip()
    if key:
        os.environ["WANDB_API_KEY"] = key
        return not any(letter.isspace() for letter in key)
    host = urllib.parse.urlsplit(address).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _answers(address: str) -> bool:
    """Whether a server says anything; in a thread, for looking a name up has no time limit of its own."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(address, timeout=WAIT_S):
                answered.set()
        except urllib.error.HTTPError:  # a refusal is an answer
            answered.set()
        except Exception:  # whatever is wrong with address or answer, it is no answer
            return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(WAIT_S)
    return answered.is_set()
