"""One row: built, trained, gone on with, tested."""
