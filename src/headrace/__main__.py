"""The program's entry: standard streams and import path are made safe, then the command line runs."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final

__all__ = ["main", "open_standard_streams", "own_code_only"]

_MODES: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open on /dev/null what is closed of the descriptors 0, 1 and 2, as after `2>&-`.

    Otherwise the next file that is opened, a journal, a lock or the decisions, would get the number, and with
    it whatever is written to that stream.
    """
    for descriptor, (name, mode) in enumerate(_MODES):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, descriptor)  # also where it has that number by now: children inherit the copy
            if opened != descriptor:
                os.close(opened)
        if getattr(sys, name) is None:
            errors = "backslashreplace" if name == "stderr" else "surrogateescape"
            stream = open(descriptor, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def own_code_only() -> None:
    """Import nothing from the folder that the command was started in, nor let processes started here do so.

    `python -m headrace` puts that folder first on the import path: a `calendar.py` among the data would be
    imported in place of the standard library's.
    """
    with suppress(OSError):  # the folder may be gone
        if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
            del sys.path[0]
    os.environ["PYTHONSAFEPATH"] = "1"


def main() -> int:
    """Run the command line; an interrupt ends it quietly from the first import on."""
    open_standard_streams()
    own_code_only()
    try:
        if sys.argv[-1:] == ["--member"]:
            from headrace.runtime.interrupts import die_with_launcher

            die_with_launcher()
        from headrace.cli.app import main as command_line

        code = command_line()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        from headrace.errors import Interrupted

        return Interrupted.exit_code
    if sys.argv[1:2] == ["run"]:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End at once where all is closed: Python would take the program's machine code apart, for a second."""
    with suppress(OSError, ValueError):  # whoever read what is still to be said has gone
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
