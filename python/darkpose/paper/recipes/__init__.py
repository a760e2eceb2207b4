# SPDX-License-Identifier: Apache-2.0
"""Configurations that come with the package, named by their path in this folder."""

from pathlib import Path

RECIPES = Path(__file__).parent
