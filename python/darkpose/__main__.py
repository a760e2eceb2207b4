# SPDX-License-Identifier: Apache-2.0
"""`python -m darkpose` is `darkpose`."""

import sys

from darkpose import stopping


def main() -> None:
    """Run the command line; say in one sentence what it needs and is not installed."""
    if sys.argv[1:] == ["--version"]:  # where the ops are installed alone, too
        from importlib.metadata import version

        print(f"darkpose {version('darkpose')}")
        return
    with stopping.stoppable():
        try:
            from darkpose.cli.encoding import read_utf8

            read_utf8()
            from darkpose.cli.main import main as run
        except BaseException as error:
            number = stopping.asked(error)
            if number is not None:
                stopping.leave(f"darkpose: ended by {number.name}")
            if isinstance(error, ImportError):
                sys.exit(f"darkpose: {error}")
            raise
    run()


if __name__ == "__main__":
    main()
