"""Renders one 3D model after another with VTK, each from several directions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from hermes.errors import HermesError
from hermes.things.models3d.meshes import read_mesh

Pixels = NDArray[np.uint8]

VIEWS: Final = ((-50, 18), (-20, 28), (25, 12), (55, 30), (20, 60), (165, 20))  # degrees: direction, elevation
SIDE: Final = 400  # pixels of a render
ANGLE: Final = 28.0  # field of view in degrees
LIGHTS: Final = ((-35, 45, 0.75), (50, 15, 0.4), (0, 80, 0.2))  # direction and elevation in degrees, intensity
DARK: Final = 1.5  # factor of the lights for models of 0 A.D., whose textures are dark


def _vtk() -> Any:
    try:
        import vtk  # noqa: PLC0415 - only rendering models needs it
    except ImportError as error:
        raise HermesError("Rendering the 3D models needs VTK: pip install vtk==9.7.2") from error
    return vtk


class ModelStage:
    """Renders one model after another in one window."""

    def __init__(self) -> None:
        vtk = _vtk()
        vtk.vtkObject.GlobalWarningDisplayOff()
        self._vtk = vtk
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetAlphaBitPlanes(1)
        self._window.SetMultiSamples(0)  # with software rendering, a large picture is faster
        self._window.SetSize(SIDE, SIDE)

    def furniture(self, path: Path) -> Iterator[Pixels]:
        """Render a Wavefront OBJ file with its materials; see `_views`."""
        importer = self._vtk.vtkOBJImporter()
        importer.SetFileName(str(path))
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = next((line.split(None, 1)[1].strip() for line in lines if line.startswith("mtllib ")), "")
        materials = path.parent / (found or f"{path.stem}.mtl")
        if materials.is_file():
            importer.SetFileNameMTL(str(materials))
        importer.SetTexturePath(str(path.parent))
        stage = self._open()
        importer.SetRenderWindow(self._window)
        importer.Update()
        yield from self._views(stage, 1.0)

    def game_model(self, mesh: Path, texture: Path) -> Iterator[Pixels]:
        """Render a mesh of 0 A.D. with its texture; see `_views`."""
        from vtk.util.numpy_support import numpy_to_vtk  # noqa: PLC0415

        vtk = self._vtk
        points, normals, places, faces = read_mesh(mesh.read_bytes())
        data, corners, cells = vtk.vtkPolyData(), vtk.vtkPoints(), vtk.vtkCellArray()
        corners.SetData(numpy_to_vtk(points, deep=True))
        data.SetPoints(corners)
        offsets = np.arange(0, faces.size + 1, 3, dtype=np.int64)
        cells.SetData(numpy_to_vtk(offsets, deep=True), numpy_to_vtk(faces.ravel(), deep=True))
        data.SetPolys(cells)
        data.GetPointData().SetNormals(numpy_to_vtk(normals, deep=True))
        data.GetPointData().SetTCoords(numpy_to_vtk(places, deep=True))
        with Pillow.open(texture) as opened:
            colours = np.ascontiguousarray(np.asarray(opened.convert("RGB"))[::-1])
        picture, paint = vtk.vtkImageData(), vtk.vtkTexture()
        picture.SetDimensions(colours.shape[1], colours.shape[0], 1)
        picture.GetPointData().SetScalars(numpy_to_vtk(colours.reshape(-1, 3), deep=True))
        paint.SetInputData(picture)
        paint.InterpolateOn()
        mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
        mapper.SetInputData(data)
        actor.SetMapper(mapper)
        actor.SetTexture(paint)
        stage = self._open()
        stage.AddActor(actor)
        yield from self._views(stage, DARK)

    def _open(self) -> Any:
        """Replace the model in the window by an empty scene."""
        for old in list(self._window.GetRenderers()):
            old.RemoveAllViewProps()
            old.ReleaseGraphicsResources(self._window)
            self._window.RemoveRenderer(old)
        stage = self._vtk.vtkRenderer()
        stage.SetBackgroundAlpha(0)
        self._window.AddRenderer(stage)
        return stage

    def _views(self, stage: Any, bright: float) -> Iterator[Pixels]:
        """Yield the model from each of `VIEWS`, uint8 [H, W, 4], RGBA; nothing if it has no extent."""
        from vtk.util.numpy_support import vtk_to_numpy  # noqa: PLC0415

        vtk = self._vtk
        stage.RemoveAllLights()
        stage.AutomaticLightCreationOff()
        for actor in stage.GetActors():
            paint = actor.GetProperty()
            paint.SetAmbient(0.25)
            paint.SetAmbientColor(paint.GetDiffuseColor())
            paint.SetDiffuse(0.85)
            paint.SetSpecular(min(paint.GetSpecular(), 0.35))
        bounds = np.reshape(stage.ComputeVisiblePropBounds(), (3, 2))
        radius = float(np.linalg.norm(bounds[:, 1] - bounds[:, 0])) / 2
        if not 0 < radius < 1e30:
            return
        for direction, elevation, intensity in LIGHTS:
            light = vtk.vtkLight()
            light.SetLightTypeToCameraLight()
            light.SetPosition(*_towards(direction, elevation))
            light.SetIntensity(intensity * bright)
            stage.AddLight(light)
        camera, centre = stage.GetActiveCamera(), bounds.mean(1)
        camera.SetViewAngle(ANGLE)
        camera.SetViewUp(0, 1, 0)
        camera.SetFocalPoint(*centre)
        distance = radius / math.sin(math.radians(ANGLE / 2))
        for direction, elevation in VIEWS:
            camera.SetPosition(*(centre + distance * np.array(_towards(direction, elevation))))
            stage.ResetCameraClippingRange()
            self._window.Render()
            reader = vtk.vtkWindowToImageFilter()
            reader.SetInput(self._window)
            reader.SetInputBufferTypeToRGBA()
            reader.ReadFrontBufferOff()
            reader.Update()
            pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars())
            yield pixels.reshape(SIDE, SIDE, 4)[::-1].copy()


def _towards(direction: float, elevation: float) -> tuple[float, float, float]:
    around, up = math.radians(direction), math.radians(elevation)
    return math.cos(up) * math.sin(around), math.sin(up), math.cos(up) * math.cos(around)
