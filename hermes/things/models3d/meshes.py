"""Reads the meshes of 0 A.D."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hermes.errors import HermesError


def read_mesh(
    content: bytes,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Read a mesh in the PMD format of 0 A.D., version 4, mirrored to right-handed coordinates.

    Returns:
        Points [N, 3], normals [N, 3], texture coordinates [N, 2], and triangles [F, 3].

    Raises:
        HermesError: The content is not a complete mesh of this version.
    """
    try:
        magic, version, _, count, sets = np.frombuffer(content, "<u4", 5).tolist()
        if magic != int.from_bytes(b"PSMD", "little") or version != 4 or sets < 1:
            raise HermesError("This is not a PMD mesh of version 4.")
        row = np.dtype(
            [
                ("point", "<f4", 3),
                ("normal", "<f4", 3),
                ("place", "<f4", (sets, 2)),
                ("bones", "u1", 4),
                ("w", "<f4", 4),
            ]
        )
        rows = np.frombuffer(content, row, count, 20)
        start = 20 + rows.nbytes
        faces = np.frombuffer(content, "<u2", 3 * int(np.frombuffer(content, "<u4", 1, start)[0]), start + 4)
    except ValueError as error:
        raise HermesError("The PMD mesh is not complete.") from error
    mirror = np.array([1, 1, -1], np.float32)
    triangles = np.ascontiguousarray(faces.reshape(-1, 3)[:, ::-1], np.int64)
    return rows["point"] * mirror, rows["normal"] * mirror, np.ascontiguousarray(rows["place"][:, 0]), triangles
