"""`python -m scanner` is `hashward`."""

from scanner.cli import main

if __name__ == "__main__":
    main()
