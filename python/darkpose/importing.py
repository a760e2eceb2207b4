# SPDX-License-Identifier: Apache-2.0
"""Functions of other people's code, named `package.module:function` by whoever starts a run.

Importing runs code: such a name may come from a command line, a configuration or a program, never
from a checkpoint.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any


def is_import_path(name: str) -> bool:
    """Whether a name has the form `package.module:function`."""
    return ":" in name


def imported(name: str, what: str) -> Callable[..., Any]:
    """Return the function that `package.module:function` names, in an installed module or in the
    current folder; `what` is what messages call it.

    Raises:
        ImportError: there is no such module.
        ValueError: the name has another form, or names nothing that can be called.
    """
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ValueError(f"{what} must be module:function, got {name}")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ValueError(f"{what} must name a function, {module} has no {attribute} to call")
    function: Callable[..., Any] = found
    return function
