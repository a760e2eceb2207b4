# SPDX-License-Identifier: Apache-2.0
"""`python -m darkpose` is `darkpose`."""

from darkpose.cli import main

main()
