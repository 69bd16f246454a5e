"""The calibration file of camera_calibration and camera_info_manager (YAML) -> sensor_msgs/CameraInfo.

Format: http://wiki.ros.org/camera_calibration_parsers (image_width, camera_matrix, distortion_coefficients, …).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import yaml
from sensor_msgs.msg import CameraInfo

from clue_ros.types import ClueError

MAX_BYTES = 1_000_000
MATRICES = {"camera_matrix": (3, 3), "rectification_matrix": (3, 3), "projection_matrix": (3, 4)}


class CalibrationFileError(ClueError):
    """The file is missing or is no calibration; the text says which entry is wrong."""


def read_calibration(path: Path) -> CameraInfo:
    """The camera_info of a calibration file, with an empty header.

    Raises:
        CalibrationFileError: see there.
    """
    path = Path(path).expanduser()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CalibrationFileError(f"{path}: too large for a calibration")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationFileError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise CalibrationFileError(f"{path}: is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise CalibrationFileError(
            f"{path}: holds no calibration; ros2 run camera_calibration cameracalibrator writes one"
        )
    try:
        width, height = (_positive(values, key) for key in ("image_width", "image_height"))
        k, r, p = (_matrix(values, name, shape) for name, shape in MATRICES.items())
        model = values.get("distortion_model", "plumb_bob")
        if not isinstance(model, str):
            raise ValueError("distortion_model must be text such as plumb_bob")
        d = _numbers(values.get("distortion_coefficients", {"data": []}), "distortion_coefficients", None)
    except ValueError as error:
        raise CalibrationFileError(f"{path}: {error}") from error
    return CameraInfo(width=width, height=height, distortion_model=model, d=d, k=k, r=r, p=p)


def _positive(values: dict, key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{key} must be a number of pixels, not {value!r}")
    return value


def _matrix(values: dict, name: str, shape: Tuple[int, int]) -> List[float]:
    if name not in values:
        raise ValueError(f"{name} is missing")
    return _numbers(values[name], name, shape[0] * shape[1])


def _numbers(entry: Any, name: str, count: "int | None") -> List[float]:
    data = entry.get("data") if isinstance(entry, dict) else entry
    if not isinstance(data, list) or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in data):
        raise ValueError(f"{name} must have a list of numbers under `data`")
    if count is not None and len(data) != count:
        raise ValueError(f"{name} must have {count} numbers, not {len(data)}")
    return [float(number) for number in data]
