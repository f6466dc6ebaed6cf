"""`python -m circuits`: the same as the command `circuits`."""

from circuits.cli import main

if __name__ == "__main__":
    main()
