"""`python -m vold`."""

from vold.cli import main

if __name__ == "__main__":
    main()
