# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as one file that needs no darkpose: crops in, keypoints in the image out.

`program` is what is exported, `onnx` and `pt2` write and run it, `check` compares a file with the
checkpoint it came from, `command` is `darkpose export`.
"""
