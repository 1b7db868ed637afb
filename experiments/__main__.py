"""`python -m experiments fit|validate|test|predict|baselines|collect|cost|export`."""

from .cli import main

if __name__ == "__main__":
    main()
