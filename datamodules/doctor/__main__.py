"""Says what is wrong with a FaceForensics++ folder before anyone waits: `python -m datamodules.doctor ROOT`."""

import sys

from .command import run

if __name__ == "__main__":
    sys.exit(run())
