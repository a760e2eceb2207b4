# SPDX-License-Identifier: Apache-2.0
"""The scripts that measure; `README.md` says what each does."""
