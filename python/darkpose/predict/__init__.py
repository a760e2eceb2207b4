# SPDX-License-Identifier: Apache-2.0
"""What `darkpose predict` reads and writes; the prediction itself is in `darkpose.predictor`."""
