# SPDX-License-Identifier: Apache-2.0
"""What an mmpose configuration names in its `custom_imports`: importing it registers the codecs."""

from darkpose.interop.mmpose import register

register()
