# SPDX-License-Identifier: Apache-2.0
"""The paper's tables, trained, evaluated and printed beside its own figures."""
