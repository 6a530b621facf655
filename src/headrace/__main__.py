"""`python -m headrace` is the command line."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; an interrupt ends it quietly from the first import on."""
    try:
        from headrace.cli import main as command_line

        return command_line()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
