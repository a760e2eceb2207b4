# SPDX-License-Identifier: Apache-2.0
"""From images and boxes to keypoints, in Python and as `darkpose predict`."""
