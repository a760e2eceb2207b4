# SPDX-License-Identifier: Apache-2.0
"""Files wherever they are: on a disk, or in an object store, as every machine of a cluster sees it.

A place is a path, or a URI that pyarrow knows (file, s3, gs, hdfs, ...), with the options pyarrow
takes behind a question mark: `s3://bucket/day1?endpoint_override=http://minio:9000`.
"""

from collections.abc import Callable
from functools import lru_cache
from os.path import abspath
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from darkpose.data.images import DecodedImage
from darkpose.data.orientation import Pixels, decode
from darkpose.predict.pixels import as_rgb


class UnreachableError(RuntimeError):
    """A file may well be there, but not now: the image is not bad, and must not be called so."""


def is_uri(place: str) -> bool:
    """Return whether a place is a URI."""
    return "://" in place


def plain(place: str) -> str:
    """Return the path of a file URI, and any other place as it is.

    >>> plain("file:///people/a%20b.jpg"), plain("s3://bucket/a b.jpg")
    ('/people/a b.jpg', 's3://bucket/a b.jpg')
    """
    return unquote(place.removeprefix("file://")) if place.startswith("file:///") else place


def shown(place: str) -> str:
    """Return a place as people should see it, without pyarrow's options.

    >>> shown("s3://bucket/a.jpg?region=eu-west-1"), shown("what?.jpg")
    ('s3://bucket/a.jpg', 'what?.jpg')
    """
    return place.partition("?")[0] if is_uri(place) else place


def inside(folder: str, name: str) -> str:
    """Return the place of a file in a folder; names that are places of their own are kept.

    >>> inside("s3://bucket/day1/?region=eu-west-1", "a.jpg")
    's3://bucket/day1/a.jpg?region=eu-west-1'
    """
    if is_uri(name) or name.startswith("/"):
        return name
    head, mark, options = folder.partition("?") if is_uri(folder) else (folder, "", "")
    return f"{head.rstrip('/')}/{name}{mark}{options}"


def located(place: str) -> tuple[Any, str]:
    """Return pyarrow's file system of a place, and the path in it.

    Raises:
        ValueError: pyarrow knows no such URI.
    """
    scheme, mark, rest = plain(place).partition("://")
    if not mark:
        return _file_system("file:///")[0], abspath(scheme)
    head, mark, options = rest.partition("?")
    host, _, path = head.partition("/")
    system, root = _file_system(f"{scheme}://{host}/{mark}{options}")
    return system, f"{root.rstrip('/')}/{path}".rstrip("/")


@lru_cache(maxsize=64)  # a bucket's region is asked for over the network
def _file_system(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    try:
        system, root = FileSystem.from_uri(uri)
    except ValueError as error:
        raise ValueError(f"a place must be a path or a URI pyarrow knows, got: {error}") from error
    return system, root


def files(place: str, wanted: Callable[[str], bool], *, below: bool = True) -> dict[str, str]:
    """Return the places of a folder's wanted files by their names, in order; or that of a file.

    What begins with . or _, or is in such a folder, is left out, as in tables of several files.

    Raises:
        FileNotFoundError: there is nothing.
    """
    from pyarrow.fs import FileSelector, FileType

    system, path = located(place)
    kind = system.get_file_info(path).type
    if kind == FileType.NotFound:
        raise FileNotFoundError(f"images must be there, there is no {place}")
    place = place if is_uri(place) else abspath(place)
    if kind != FileType.Directory:
        return {shown(place): place}
    found = system.get_file_info(FileSelector(path, recursive=below))
    names = [each.path[len(path) :].lstrip("/") for each in found if each.type == FileType.File]
    return {
        name: inside(place, name)
        for name in sorted(filter(wanted, names))
        if not any(part[0] in "._" for part in name.split("/"))
    }


class StoredImage:
    """An image that whoever asks for its pixels [H, W, 3], RGB, decodes: `Predictor.stream` asks in
    the threads that read ahead.

    Args:
        place: of the file.
        pixels: which ones of the file boxes count.
        data: the file's content, if it is known already.
        name: it is called in messages.
    """

    def __init__(self, place: str, pixels: Pixels, data: bytes | None, name: str) -> None:
        self.place, self.pixels, self.data, self.name = place, pixels, data, name

    def decoded(self) -> DecodedImage:
        """Return what crops are cut out of; errors as of `darkpose.data.orientation.decode`.

        Raises:
            UnreachableError: the file cannot be fetched now.
        """
        data = self._fetch() if self.data is None else self.data
        return decode(data, self.name, self.pixels)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[np.uint8]:
        return as_rgb(self.decoded())

    def _fetch(self) -> bytes:
        system, path = located(self.place)
        try:
            with system.open_input_stream(path) as file:
                return bytes(file.read())
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ValueError(f"image {self.name} must be a readable file, got none") from error
        except OSError as error:
            raise UnreachableError(f"image {self.name} cannot be fetched: {error}") from error


class Folder:
    """A folder that results are written to: each file is there complete, or not at all.

    `name` is what messages call it.
    """

    def __init__(self, place: str) -> None:
        self.place, self.name = place, shown(place)
        self._system, self._path = located(place)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by name; of none if there is no such folder yet.

        Raises:
            ValueError: the place is a file.
        """
        from pyarrow.fs import FileSelector, FileType

        if self._system.get_file_info(self._path).type == FileType.File:
            raise ValueError(f"out must be a folder, got the file {self.name}")
        found = self._system.get_file_info(FileSelector(self._path, allow_not_found=True))
        return {each.base_name: each.size for each in found if each.type == FileType.File}

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with self._system.open_input_stream(f"{self._path}/{name}") as file:
            return bytes(file.read())

    def end(self, name: str, count: int) -> bytes:
        """Return at most so many of a file's last bytes."""
        with self._system.open_input_file(f"{self._path}/{name}") as file:
            count = min(count, file.size())
            return bytes(file.read_at(count, file.size() - count))

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside its place and rename it, over an older one of that name."""
        beside = f"{self._path}/.{name}.{uuid4().hex}"
        self._system.create_dir(self._path, recursive=True)
        with self._system.open_output_stream(beside) as file:
            file.write(data)
        self._system.move(beside, f"{self._path}/{name}")

    def sweep(self) -> None:
        """Take away what killed processes left unfinished."""
        for name in self.sizes():
            if name.startswith(".part-"):
                self._system.delete_file(f"{self._path}/{name}")
