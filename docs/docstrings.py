# SPDX-License-Identifier: Apache-2.0
"""Makes Markdown of docstrings, which are written for people who read the source.

Markdown takes the `>>>` of an example for a quotation, and shapes such as [K][3] for links.
"""

import re
from typing import Any

from griffe import Extension, Object

_SPECIAL = re.compile(
    r"^(?P<example>(?P<indent> *)>>> .*(?:\n(?!\s*$).*)*)|(?P<code>`[^`\n]*`)|\]\[", re.MULTILINE
)


class Docstrings(Extension):
    """Puts examples between fences and brackets into backslashes."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the object's docstring, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = _SPECIAL.sub(_as_markdown, obj.docstring.value)


def _as_markdown(match: re.Match[str]) -> str:
    if match["example"]:
        fence = match["indent"] + "```"
        return f"{fence}pycon\n{match['example']}\n{fence}"
    return match["code"] or r"]\["
