"""What `/diagnostics` says of a camera's depth and camera_info: whether they come, and what positions are made of."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from clue_ros.lens.model import CameraModel
from clue_ros.ros.running.errors import NoPositionError
from clue_ros.ros.seeing.arrivals import Arrivals
from clue_ros.ros.seeing.camera import Camera
from clue_ros.ros.seeing.optics import FLOWS_S, UNREGISTERED, Optics

OFF = "use_depth is false: no positions"


class Health(NamedTuple):
    """One line: the part's name, whether it is well, a sentence, and values."""

    part: str
    well: bool
    message: str
    values: Dict[str, str]


def optics_health(camera: Camera, name: str = "") -> List[Health]:
    """The lines `depth` and `camera_info` of a camera; `name` stands before them where there are several."""
    optics, before = camera.optics, f"{name}/" if name else ""
    depth, info = f"{before}depth", f"{before}camera_info"
    if not optics.used:
        return [Health(depth, True, OFF, {}), Health(info, True, OFF, {})]
    model: Optional[CameraModel] = None
    wrong: Optional[NoPositionError] = None
    try:
        model = optics.camera(camera.size, camera.frame_id)
    except NoPositionError as error:
        wrong = error
    return [_depth(depth, optics, camera.frame_id, model), _info(info, optics, model, wrong)]


def _depth(part: str, optics: Optics, image_frame: str, model: Optional[CameraModel]) -> Health:
    values = _arrived(optics.topics.depth, optics.depths)
    if optics.depth_header is None:
        return Health(part, False, f"no position: {optics.no_depth(float('inf'))}", values)
    word, why_not = optics.registration(model, image_frame)
    values["frame_id"], values["registered"] = optics.depth_header.frame_id, word
    if optics.depth_size is not None:
        values["size"] = "{}x{}".format(*optics.depth_size)
    if optics.depth_info is not None:
        values["camera_info"] = optics.topics.depth_info
    if optics.lost is not None:
        values["last_target"] = f"no position: {optics.lost}"
    if optics.depths.age_s > FLOWS_S:
        return Health(part, False, f"no position: {optics.no_depth(float('inf'))}", values)
    if word == UNREGISTERED:
        return Health(part, False, f"no position: {why_not}", values)
    if optics.lost is not None and optics.lost.kind.startswith("depth"):
        return Health(part, False, f"the last target had no position: {optics.lost}", values)
    return Health(part, True, "depth images arrive", values)


def _info(part: str, optics: Optics, model: Optional[CameraModel], wrong: Optional[NoPositionError]) -> Health:
    values = _arrived(optics.topics.info, optics.infos)
    told = optics.rectified
    values["rectified"] = {True: "yes", False: "no", None: "not known"}[told.value] + f" ({told.why})"
    if optics.info is not None:
        values.update(_values(optics.info))
    if model is not None:
        lens = f"{'fisheye' if model.fisheye else 'polynomial'} lens undistorted" if model.distortion else "pinhole"
        values["camera"] = f"{lens}, fx {model.fx:.1f} fy {model.fy:.1f} cx {model.cx:.1f} cy {model.cy:.1f}"
        values["image"] = f"{model.width}x{model.height}" + (" (scaled)" if model.scaled else "")
    if wrong is not None:
        return Health(part, False, f"no position: {wrong}", values)
    if model.scaled:
        text = f"the image is {values['image']}, camera_info is for another size: taken as the same picture, scaled"
        return Health(part, True, text, values)
    return Health(part, True, "calibrated", values)


def _arrived(topic: str, arrivals: Arrivals) -> Dict[str, str]:
    age = arrivals.age_s
    return {
        "topic": topic, "age_s": "none yet" if age is None else f"{age:.3f}", "rate_hz": f"{arrivals.rate_hz():.1f}",
    }  # fmt: skip


def _values(info: Any) -> Dict[str, str]:
    values = {"frame_id": info.header.frame_id, "size": f"{info.width}x{info.height}"}
    values["lens"] = f"{info.distortion_model or 'no name'}, D {' '.join(f'{v:g}' for v in info.d) or 'empty'}"
    if info.roi.width or info.roi.height or info.roi.x_offset or info.roi.y_offset:
        values["roi"] = f"{info.roi.width}x{info.roi.height} at ({info.roi.x_offset}, {info.roi.y_offset})"
    if info.binning_x > 1 or info.binning_y > 1:
        values["binning"] = f"{info.binning_x}x{info.binning_y}"
    return values
