"""`python -m experiments fit|validate|test|predict|baselines|collect`."""

from .cli import main

if __name__ == "__main__":
    main()
