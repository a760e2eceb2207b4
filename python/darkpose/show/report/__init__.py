# SPDX-License-Identifier: Apache-2.0
"""An evaluation as one HTML file that anyone can open: tables, curves, calibration, people.

`write_report` writes it, `darkpose report` evaluates a checkpoint for it. The page asks nothing of
any network, so that it can be sent and kept, and trusts no text that it shows.
"""

from darkpose.show.report.page import write_report

__all__ = ["write_report"]
