# SPDX-License-Identifier: Apache-2.0
"""`darkpose.data.drawing` by the name under which it has been imported."""

from darkpose.data.drawing import *  # noqa: F403
