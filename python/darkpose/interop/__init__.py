# SPDX-License-Identifier: Apache-2.0
"""DARK in programs built on other people's libraries, which are not needed to import this."""
