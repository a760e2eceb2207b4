# SPDX-License-Identifier: Apache-2.0
"""Files are UTF-8 on every machine."""

import locale
import os
import sys


def read_utf8() -> None:
    """Begin this command anew in Python's UTF-8 mode where the locale has another encoding.

    Configurations, and whatever they name, are read as UTF-8 then; the terminal keeps its encoding.
    """
    if sys.flags.utf8_mode or locale.getpreferredencoding(False).lower() in ("utf-8", "utf8"):
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    os.environ.setdefault("PYTHONIOENCODING", f"{encoding}:backslashreplace")
    os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "darkpose", *sys.argv[1:]])
