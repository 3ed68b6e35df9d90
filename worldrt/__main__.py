"""`python -m worldrt` is the `worldrt` command."""

from worldrt.cli import main

if __name__ == "__main__":
    main()
