"""Renders scenes with MuJoCo: colour, metric depth, instance segmentation, boxes and visibility.

One model with every (category, shape, size) in several copies is compiled once; a scene then only moves, colours and
hides bodies, because making a GL context and compiling shaders costs several times a picture.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from clue_ros.simulation import meshes, shapes, textures
from clue_ros.simulation.own_objects import OwnObject
from clue_ros.simulation.projection import Intrinsics, camera_pose, intrinsics_of, measure, optical_points
from clue_ros.simulation.scene import Scene, SceneObject
from clue_ros.simulation.variety import PLAIN, Deformation, deformation
from clue_ros.types import ClueError

os.environ.setdefault("MUJOCO_GL", "egl")

COPIES = 4  # of each (category, shape, size): the most that one scene can hold
LABELS = 10  # printed textures: the most labelled objects that one scene can hold
LIGHTS = 3
MAX_OBJECTS = 16  # own objects in one scene
HIDDEN_GROUP = 5
OWN = "own"  # stands for the category in the names of own objects' bodies
TABLE_HALF = (0.45, 0.6)  # metres


class SimulationError(ClueError):
    """The scene cannot be rendered; the text says why."""


@dataclass(frozen=True)
class View:
    """One rendered scene.

    rgb: uint8[H,W,3]; depth: float32[H,W], metres along the optical axis; segmentation: int16[H,W], index into
    `objects` or -1; intrinsics: (fx, fy, cx, cy) in pixels; objects: the scene's, with box and visibility set;
    points: float32[N,3], each object's base centre in the optical frame (x right, y down, z forward), metres.
    """

    rgb: np.ndarray
    depth: np.ndarray
    segmentation: np.ndarray
    intrinsics: Intrinsics
    objects: Tuple[SceneObject, ...]
    points: np.ndarray


class TabletopRenderer:
    """Renders scenes at one image size. Use as a context manager, or call `close`: the GL context is explicit.

    Raises SimulationError where MuJoCo finds no OpenGL (install libegl1, or libosmesa6 with MUJOCO_GL=osmesa).
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        shadows: int = 1024,
        own: Sequence[OwnObject] = (),
        variety: int = PLAIN,
    ):
        """own: objects that users brought, which scenes of this renderer may hold; variety: of the built-in shapes of
        its scenes (simulation/variety.py)."""
        try:
            import mujoco
        except ImportError as error:
            raise SimulationError(f"rendering needs the Python package mujoco ({error}): pip install mujoco") from error
        self._mujoco: Any = mujoco  # its compiled part has no type stubs
        self.width, self.height, self._variety = width, height, variety
        self._slots: Dict[Tuple[str, str, str], List[int]] = {}
        spec = self._kit(shadows)
        for index, item in enumerate(own):
            self._add_own(spec, index, item)
        self._model = spec.compile()
        self._data = self._mujoco.MjData(self._model)
        self._find_ids()
        try:
            most = 400 + MAX_OBJECTS * max((len(o.surfaces) for o in own), default=0)
            self._renderer: Any = self._mujoco.Renderer(self._model, height, width, max_geom=most)
        except Exception as error:  # MuJoCo raises bare RuntimeError, AttributeError or ImportError by platform
            raise SimulationError(
                f"MuJoCo could not open an OpenGL context with MUJOCO_GL={os.environ.get('MUJOCO_GL')} ({error}); "
                "install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0, or libosmesa6 and set MUJOCO_GL=osmesa"
            ) from error
        self._option = self._mujoco.MjvOption()
        self._option.geomgroup[:] = 1
        self._option.geomgroup[HIDDEN_GROUP] = 0

    def __enter__(self) -> "TabletopRenderer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def render(self, scene: Scene, depth: bool = True) -> View:
        """Render a scene. With depth=False the depth image is left empty (0×0), which saves a third of the time.

        Raises SimulationError if the scene holds more objects of one kind than `COPIES`.
        """
        bodies = self._arrange(scene)
        r, m, d = self._renderer, self._model, self._data
        self._mujoco.mj_forward(m, d)
        r.update_scene(d, "camera", self._option)
        rgb = r.render().copy()
        r.enable_segmentation_rendering()
        r.update_scene(d, "camera", self._option)
        geom = r.render()[..., 0]
        r.disable_segmentation_rendering()
        metric = np.zeros((0, 0), np.float32)
        if depth:
            r.enable_depth_rendering()
            r.update_scene(d, "camera", self._option)
            metric = r.render().astype(np.float32)
            r.disable_depth_rendering()
        lookup = np.full(m.ngeom + 1, -1, np.int16)
        for index, body in enumerate(bodies):
            lookup[: m.ngeom][m.geom_bodyid == body] = index
        segmentation = lookup[geom]
        return View(
            rgb,
            metric,
            segmentation,
            intrinsics_of(scene.camera, self.width, self.height),
            measure(scene, segmentation),
            optical_points(scene),
        )

    def _kit(self, shadows: int):
        mj = self._mujoco
        spec = mj.MjSpec()
        spec.visual.global_.offwidth, spec.visual.global_.offheight = self.width, self.height
        spec.visual.quality.shadowsize = shadows
        spec.visual.quality.offsamples = 4
        spec.visual.headlight.ambient = [0.34] * 3
        spec.visual.headlight.diffuse = [0.22] * 3
        spec.visual.headlight.specular = [0.05] * 3
        spec.visual.map.znear, spec.visual.map.zfar = 0.02, 8

        def material(name: str, size: int = 0, **look):
            if size:
                texture = spec.add_texture(
                    name=name, type=mj.mjtTexture.mjTEXTURE_2D, width=size, height=size, nchannel=3
                )
                texture.data = np.full(size * size * 3, 128, np.uint8).tobytes()
            item = spec.add_material(name=name, **look)
            if size:
                item.textures[mj.mjtTextureRole.mjTEXROLE_RGB] = name

        material("table", 256, specular=0.2, shininess=0.4)
        material("wall", 256, specular=0.05, shininess=0.1)
        material("plain", specular=0.35, shininess=0.5)
        for i in range(LABELS):
            material(f"label{i}", 64, specular=0.3, shininess=0.4)
        world, kind = spec.worldbody, mj.mjtGeom
        world.add_geom(type=kind.mjGEOM_BOX, size=[*TABLE_HALF, 0.02], pos=[0, 0, -0.02], material="table")
        world.add_geom(type=kind.mjGEOM_PLANE, size=[3, 3, 0.1], pos=[0, 0, -0.75], material="wall")
        world.add_geom(
            type=kind.mjGEOM_PLANE, size=[3, 3, 0.1], pos=[1.5, 0, 0], quat=[0.7071, 0, -0.7071, 0], material="wall"
        )
        for i in range(LIGHTS):
            look = dict(castshadow=i == 0, specular=[0.3] * 3, type=mj.mjtLightType.mjLIGHT_DIRECTIONAL)
            world.add_light(name=f"light{i}", pos=[0, 0, 2], dir=[0, 0, -1], **look)
        world.add_camera(name="camera", pos=[0, 0, 1], fovy=48)
        for size, scale in shapes.SIZES.items():
            for category, variants in shapes.SHAPES.items():
                for variant, shape in variants.items():
                    name = f"{category}/{variant}/{size}"
                    bend = deformation(self._variety, category, variant, size, shape.height)
                    for part in shape.parts:
                        if part.mesh in meshes.MESHES:
                            self._add_mesh(spec, f"{name}/{part.mesh}", part.mesh, bend, scale)
                    for copy in range(COPIES):
                        body = world.add_body(name=f"{name}/{copy}")
                        for part in shape.parts:
                            self._add_part(body, part, name, bend, scale)
        return spec

    def _add_mesh(self, spec, name: str, builder: str, bend: Deformation, scale: float) -> None:
        vertices, faces, uv = meshes.MESHES[builder]()
        mesh = spec.add_mesh(name=name, inertia=self._mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        mesh.uservert = (bend.bent(vertices) * scale).astype(np.float32).ravel()
        mesh.userface = faces.astype(np.int32).ravel()
        mesh.usertexcoord = uv.astype(np.float32).ravel()
        mesh.userfacetexcoord = faces.astype(np.int32).ravel()

    def _add_part(self, body, part: shapes.Part, name: str, bend: Deformation, scale: float) -> None:
        kind, stretch = self._mujoco.mjtGeom, np.array(bend.scale) * scale
        common = dict(material="plain", contype=0, conaffinity=0, group=HIDDEN_GROUP)
        if part.mesh == "box":
            half = np.array(part.size) * stretch
            body.add_geom(type=kind.mjGEOM_BOX, size=half, pos=[0, 0, half[2]], **common)
        elif part.mesh == "sphere":
            radii = part.size[0] * stretch
            ball = kind.mjGEOM_SPHERE if np.ptp(radii) == 0 else kind.mjGEOM_ELLIPSOID
            body.add_geom(type=ball, size=radii, pos=[0, 0, radii[2]], **common)
        else:
            body.add_geom(type=kind.mjGEOM_MESH, meshname=f"{name}/{part.mesh}", **common)

    def _add_own(self, spec, index: int, item: OwnObject) -> None:
        """Adds an own object's meshes and materials, and `COPIES` bodies."""
        mj, looks = self._mujoco, []
        for k, surface in enumerate(item.surfaces):
            name = f"own{index}_{k}"
            mesh = spec.add_mesh(name=name, inertia=mj.mjtMeshInertia.mjMESH_INERTIA_SHELL)
            padding = np.repeat(surface.vertices[:1], max(0, 4 - len(surface.vertices)), 0)  # MuJoCo wants four
            mesh.uservert = np.concatenate([surface.vertices, padding]).ravel()
            mesh.userface = surface.faces.ravel()
            material = spec.add_material(name=name, specular=0.3, shininess=0.4)
            if surface.image is not None and surface.uv is not None and surface.uv_faces is not None:
                mesh.usertexcoord, mesh.userfacetexcoord = surface.uv.ravel(), surface.uv_faces.ravel()
                height, width = surface.image.shape[:2]
                texture = spec.add_texture(
                    name=name, type=mj.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
                )
                texture.data = surface.image.tobytes()
                material.textures[mj.mjtTextureRole.mjTEXROLE_RGB] = name
            rgb = [1, 1, 1] if surface.image is not None else surface.rgb
            looks.append((name, [*rgb, surface.alpha]))
        for copy in range(COPIES):
            body = spec.worldbody.add_body(name=f"{OWN}/{item.name}/{item.size}/{copy}")
            for name, rgba in looks:
                look = dict(material=name, rgba=rgba, contype=0, conaffinity=0, group=HIDDEN_GROUP)
                body.add_geom(type=mj.mjtGeom.mjGEOM_MESH, meshname=name, **look)

    def _find_ids(self) -> None:
        m, name = self._model, self._mujoco.mj_id2name
        for body in range(1, m.nbody):
            category, shape, size, _ = name(m, self._mujoco.mjtObj.mjOBJ_BODY, body).split("/")
            self._slots.setdefault((category, shape, size), []).append(body)

    def _arrange(self, scene: Scene) -> List[int]:
        """Move the model into the scene's state; returns each object's body id."""
        m = self._model
        m.geom_group[m.geom_bodyid > 0] = HIDDEN_GROUP
        free = {key: list(bodies) for key, bodies in self._slots.items()}
        taken, label = [], 0
        for item in scene.objects:
            key = (item.category if item.own is None else OWN, item.shape, item.size)
            if item.own is None and item.variety != self._variety:
                raise SimulationError(
                    f"this renderer draws shapes of variety {self._variety}, the scene holds one of "
                    f"{item.variety}: make it with TabletopRenderer(variety={item.variety})"
                )
            if not free.get(key):
                raise SimulationError(
                    f"a scene can hold at most {COPIES} objects '{item.size} {item.shape} {item.category}'; known "
                    f"categories: {', '.join(shapes.CATEGORIES)}; own objects are those of TabletopRenderer(own=...)"
                )
            body = free[key].pop()
            taken.append(body)
            m.body_pos[body] = item.position
            m.body_quat[body] = [np.cos(item.yaw / 2), 0, 0, np.sin(item.yaw / 2)]
            first = m.body_geomadr[body]
            if item.own is not None:
                m.geom_group[first : first + m.body_geomnum[body]] = 0
                continue
            for k, part in enumerate(shapes.shape_of(item.category, item.shape).parts):
                m.geom_group[first + k] = 0
                if part.role == "label":
                    name = f"label{label % LABELS}"
                    label += 1
                    self._paint(name, textures.label(item.texture_seed, item.rgb))
                    m.geom_matid[first + k] = m.material(name).id
                    m.geom_rgba[first + k] = 1
                else:
                    m.geom_rgba[first + k] = [*item.rgb, 1] if part.role == "body" else part.role
        self._paint("table", textures.surface(scene.table_seed, kinds=scene.surfaces))
        self._paint("wall", textures.surface(scene.wall_seed, kinds=scene.surfaces))
        rotation, origin = camera_pose(scene.camera)
        m.cam_pos[0], m.cam_fovy[0] = origin, scene.camera.fovy
        self._mujoco.mju_mat2Quat(m.cam_quat[0], (rotation * [1, -1, -1]).ravel())
        for i in range(LIGHTS):
            m.light_active[i] = i < len(scene.lights)
            if i < len(scene.lights):
                position = np.array(scene.lights[i].position)
                m.light_pos[i], m.light_dir[i] = position, -position / np.linalg.norm(position)
                m.light_diffuse[i] = scene.lights[i].diffuse
        return taken

    def _paint(self, name: str, image: np.ndarray) -> None:
        texture = self._model.texture(name)
        start = self._model.tex_adr[texture.id]
        self._model.tex_data[start : start + image.size] = image.ravel()
        if getattr(self, "_renderer", None) is not None:
            if self._renderer._gl_context is not None:
                self._renderer._gl_context.make_current()
            self._mujoco.mjr_uploadTexture(self._model, self._renderer._mjr_context, texture.id)
