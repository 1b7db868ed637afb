"""`python -m experiments COMMAND ...`; without one it lists them."""

from .cli import main

if __name__ == "__main__":
    main()
