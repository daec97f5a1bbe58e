"""The command line: `python -m sepconv …`, and the program `sepconv` of the wheel."""

import signal
import sys

from . import _sepconv


def main() -> None:
    """Runs the command line and exits with its status."""
    # Python's handler would only take note of Ctrl-C, for when the command has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_sepconv.main(["sepconv", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
