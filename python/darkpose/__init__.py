# SPDX-License-Identifier: Apache-2.0
"""DARK: the coordinate representation of heatmap-based keypoint networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkpose.predict.predictor import Outcome, Poses, Predictor, Request

__all__ = ["Outcome", "Poses", "Predictor", "Request"]


def __getattr__(name: str) -> Any:
    """Import the predictor when it is asked for: the codec alone needs none of its packages."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from darkpose.predict import predictor
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "darkpose", "darkpose_ext"):
            raise
        raise ImportError(
            f"darkpose.{name} needs {missing}: pip install 'darkpose[predict]'"
        ) from error
    return getattr(predictor, name)
