"""Runs several commands of the program `onecard` one after the other in one process.

A process of ours costs more to start than such a command takes: its imports are shared. Given a JSON list of argument
lists; ends with the exit code of the first command that fails.
"""

import json
import sys

from onecard_protocol.cli import run_command
from onecard_protocol.explained import show_error


def main() -> None:
    """Run the commands that the one argument lists."""
    for arguments in json.loads(sys.argv[1]):
        try:
            code = run_command(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception as error:
            code = show_error(error)
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
