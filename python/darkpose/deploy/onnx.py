# SPDX-License-Identifier: Apache-2.0
"""Write and run ONNX files: standard operators alone, any number of people.

What reads ONNX runs them, without our library. `examples/onnxruntime/predict.py` shows how.
"""

import ast
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkpose.deploy.program import ImageToKeypoints, Program, parse_metadata
from darkpose_ext.onnx import OPSET, TRANSLATIONS

MODULE = "module"
"""Of a node's metadata: the name of the module that it comes from."""
_SCOPES = "pkg.torch.onnx.name_scopes"


def write(program: torch.nn.Module, inputs: tuple[Tensor, ...], path: Path, **options: Any) -> None:
    """Write a module that may use `torch.ops.dark.decode` as an ONNX file.

    Args:
        program: in evaluation mode.
        inputs: an example.
        path: of the file.
        options: of `torch.onnx.export`, such as `input_names` and `dynamic_shapes`; `metadata`,
            texts by name. Unless told otherwise, the first dimension of every input is the batch,
            of which the example must have two or more.

    Raises:
        ImportError: without onnx and onnxscript.
    """
    need("onnx", "onnxscript")
    metadata = options.pop("metadata", {})
    batch = torch.export.Dim("batch", min=1)
    options = {"dynamic_shapes": tuple({0: batch} for _ in inputs), **options}
    with _quiet():
        exported = torch.onnx.export(
            program,
            inputs,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            custom_translation_table=TRANSLATIONS,
            **options,
        )
    assert exported is not None
    for node in exported.model.graph:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))  # modules, then the node
        node.metadata_props.clear()  # lines of source, with the folders of this machine
        node.metadata_props[MODULE] = "".join(scopes[-2:-1])
    exported.model.metadata_props.update(metadata)
    exported.save(str(path))


def write_program(program: Program, path: Path) -> None:
    """Write an ONNX file from crops, or an image and boxes, to keypoints.

    Raises:
        ImportError: without onnx and onnxscript.
    """
    write(
        program,
        program.example(),
        path,
        input_names=list(program.inputs),
        output_names=list(program.outputs),
        dynamic_shapes=program.dynamic_shapes(),
        metadata=program.metadata(),
    )


def write_cut(program: ImageToKeypoints, path: Path) -> None:
    """Write what a file of this program cuts out of an image, from the same inputs, alone."""
    write(
        program.cut,
        program.example(),
        path,
        input_names=list(program.inputs),
        dynamic_shapes=program.dynamic_shapes(),
        metadata=program.metadata(),
    )


class OnnxModel:
    """A file that `write_program` wrote, in ONNX Runtime on the CPU.

    Args:
        path: of the file. It is parsed as data; nothing in it is unpickled.
        threads: for one operator; as many as there are cores if 0.

    Raises:
        ImportError: without onnxruntime.
        ValueError: the file is none that `darkpose export` wrote.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        need("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of many types, none of them public
            raise ValueError(f"{path} must be an ONNX file, ONNX Runtime says: {error}") from error
        found = self.session.get_modelmeta().custom_metadata_map
        self.metadata = parse_metadata(found, path)
        self.inputs = [each.name for each in self.session.get_inputs()]

    def __call__(self, pixels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `forward` of the program does that was exported."""
        given = dict(zip(self.inputs, (pixels.numpy(), places.numpy()), strict=True))
        points, scores = self.session.run(None, given)
        return torch.from_numpy(points), torch.from_numpy(scores)


def need(*packages: str) -> None:
    """Raise ImportError, saying what to install, for the first of these packages that is missing.

    To be asked before minutes of work rather than after.
    """
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(f"ONNX needs {package}: pip install 'darkpose[onnx]'") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says of operators that are not used and of its own rewriting."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
