# SPDX-License-Identifier: Apache-2.0
"""`python -m darkpose` is `darkpose`."""

import sys


def main() -> None:
    """Run the command line; say in one sentence what it needs and is not installed."""
    if sys.argv[1:] == ["--version"]:  # where the ops are installed alone, too
        from importlib.metadata import version

        print(f"darkpose {version('darkpose')}")
        return
    try:
        from darkpose.cli.main import main as run
    except ImportError as error:
        sys.exit(f"darkpose: {error}")
    run()


if __name__ == "__main__":
    main()
