"""Interface packages that are not installed here, built from their published fields, so that they travel over real DDS.

vision_msgs 4, foxglove_msgs, hri_msgs 2, tts_msgs 1, communication_skills 1.5 and tf2_msgs; of std_skills only the
fields that others were seen to use (its definition was not to be had). The definitions below are written by hand from
the lists of fields. Where the real package is installed, it is used.

`build` calls ROS's own generators and compiles what rclpy and Fast DDS need of it. `colcon build` of the
same packages takes ten times the processor time, most of it in CMake.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List

HEADER, STAMP = "std_msgs/Header header\n", "builtin_interfaces/Time timestamp\n"
# package: {file: definition}; a package stands behind those that it uses.
DEFINITIONS: Dict[str, Dict[str, str]] = {
    "vision_msgs": {
        "msg/Point2D.msg": "float64 x\nfloat64 y\n",
        "msg/Pose2D.msg": "vision_msgs/Point2D position\nfloat64 theta\n",
        "msg/BoundingBox2D.msg": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
        "msg/BoundingBox3D.msg": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
        "msg/ObjectHypothesis.msg": "string class_id\nfloat64 score\n",
        "msg/ObjectHypothesisWithPose.msg": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n",
        "msg/Detection2D.msg": HEADER + "ObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id\n",
        "msg/Detection2DArray.msg": HEADER + "Detection2D[] detections\n",
        "msg/Detection3D.msg": HEADER + "ObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id\n",
        "msg/Detection3DArray.msg": HEADER + "Detection3D[] detections\n",
    },
    "foxglove_msgs": {
        "msg/Color.msg": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a\n",
        "msg/Point2.msg": "float64 x\nfloat64 y\n",
        "msg/CircleAnnotation.msg": STAMP + "foxglove_msgs/Point2 position\nfloat64 diameter\n"
        "float64 thickness\nfoxglove_msgs/Color fill_color\nfoxglove_msgs/Color outline_color\n",
        "msg/PointsAnnotation.msg": STAMP + "uint8 UNKNOWN=0\nuint8 POINTS=1\nuint8 LINE_LOOP=2\n"
        "uint8 LINE_STRIP=3\nuint8 LINE_LIST=4\nuint8 type\nfoxglove_msgs/Point2[] points\n"
        "foxglove_msgs/Color outline_color\nfoxglove_msgs/Color[] outline_colors\nfoxglove_msgs/Color fill_color\n"
        "float64 thickness\n",
        "msg/TextAnnotation.msg": STAMP + "foxglove_msgs/Point2 position\nstring text\n"
        "float64 font_size\nfoxglove_msgs/Color text_color\nfoxglove_msgs/Color background_color\n",
        "msg/ImageAnnotations.msg": "foxglove_msgs/CircleAnnotation[] circles\n"
        "foxglove_msgs/PointsAnnotation[] points\nfoxglove_msgs/TextAnnotation[] texts\n",
    },
    "hri_msgs": {
        "msg/LiveSpeech.msg": HEADER + "string incremental\nstring final\nfloat64 confidence\nstring language\n"
    },
    "tts_msgs": {
        "action/TTS.action": "string input\nstring locale\nstring voice\n---\nstring error_msg\nstring text\n---\n"
        "string word\n"
    },
    "std_skills": {
        "msg/Meta.msg": "uint8 NORMAL_PRIORITY=128\nstring caller\nuint8 priority\n",
        "msg/Result.msg": "uint8 ROS_ENOERR=0\nuint8 ROS_EINTR=4\nuint8 ROS_ECANCELED=125\nuint8 error_code\n"
        "string error_msg\n",
        "msg/Feedback.msg": "string data_str\nfloat32 data_float\n",
    },
    "communication_skills": {
        "action/Say.action": "std_skills/Meta meta\nstring person_id\nstring group_id\nstring input\n---\n"
        "std_skills/Result result\n---\nstd_skills/Feedback feedback\n"
    },
    "bond": {
        "msg/Status.msg": HEADER + "string id\nstring instance_id\nbool active\nfloat32 heartbeat_timeout\n"
        "float32 heartbeat_period\n"
    },
    "tf2_msgs": {"msg/TFMessage.msg": "geometry_msgs/TransformStamped[] transforms\n"},
}
# Installed packages that these use, for the linker.
USED = ("std_msgs", "geometry_msgs", "builtin_interfaces", "service_msgs", "action_msgs", "unique_identifier_msgs")
TYPESUPPORT = "rosidl_typesupport_fastrtps_c"


def missing_packages() -> List[str]:
    return [name for name in DEFINITIONS if importlib.util.find_spec(name) is None]


def build(packages: List[str], cache: Path) -> Path:
    """The folder that, in front of sys.path, makes `packages` importable; made once and kept in `cache`.

    Raises:
        subprocess.CalledProcessError: the compiler's messages are on stderr.
    """
    wanted = {name: DEFINITIONS[name] for name in packages}
    key = repr((wanted, sys.version, os.environ.get("AMENT_PREFIX_PATH"), Path(__file__).read_text()))
    place = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not place.exists():
        half = cache / f"{place.name}.{os.getpid()}"
        shutil.rmtree(half, ignore_errors=True)
        # A process of its own: the generators tell every file that they read and take over sys.stdout. Tests go on.
        command = ["nice", "-n", "10", sys.executable, __file__, str(half), *packages]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        half.rename(place)
    return place / "python"


def _prefixes() -> List[Path]:
    return [Path(prefix) for prefix in os.environ["AMENT_PREFIX_PATH"].split(os.pathsep) if prefix]


def _share(package: str) -> Path:
    return next(prefix / "share" / package for prefix in _prefixes() if (prefix / "share" / package).is_dir())


def _generate(package: str, place: Path) -> None:
    """Definitions -> .idl -> type hashes, C, its type support for Fast DDS, and Python."""
    from rosidl_adapter import convert_to_idl
    from rosidl_generator_c import generate_c
    from rosidl_generator_py import generate_py
    from rosidl_generator_type_description import generate_type_hash
    from rosidl_typesupport_c import generate_c as generate_typesupport
    from rosidl_typesupport_fastrtps_c import generate_typesupport_fastrtps_c

    share, include = place / "share" / package, place / "include" / package
    for file, definition in DEFINITIONS[package].items():
        path = share / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(definition)
        convert_to_idl(share, package, Path(file), share)
    names = [str(Path(file).with_suffix("")) for file in DEFINITIONS[package]]
    arguments = {
        "package_name": package, "idl_tuples": [f"{share}:{name}.idl" for name in names],
        "ros_interface_files": [str(share / file) for file in DEFINITIONS[package]], "ros_interface_dependencies": [],
        "target_dependencies": [], "type_description_tuples": [f"{name}.idl:{share / name}.json" for name in names],
        "include_paths": [f"{name}:{_share(name)}" for name in USED]
        + [f"{path.name}:{path}" for path in (place / "share").iterdir() if path.name != package],
    }  # fmt: skip

    def call(generator, output: Path, of: str, *more) -> None:
        file = place / "arguments.json"
        templates = str(_share(of) / "resource")
        file.write_text(json.dumps({**arguments, "output_dir": str(output), "template_dir": templates}))
        generator(str(file), *more)

    call(generate_type_hash, share, "rosidl_generator_c")
    call(generate_c, include, "rosidl_generator_c")
    call(generate_typesupport, include, "rosidl_typesupport_c", [TYPESUPPORT])
    call(generate_typesupport_fastrtps_c, include, TYPESUPPORT)
    call(generate_py, place / "python" / package, "rosidl_generator_py", ["rosidl_typesupport_c"])
    for folder in {Path(file).parent for file in DEFINITIONS[package]}:
        (place / "python" / package / folder / "__init__.py").touch()
    (place / "python" / package / "__init__.py").touch()
    for of in ("rosidl_generator_c", "rosidl_typesupport_c", TYPESUPPORT):
        for template in (_share(of) / "resource").glob(f"{of}__visibility_control.h.in"):
            text = template.read_text().replace("@PROJECT_NAME_UPPER@", package.upper())
            text = text.replace("@PROJECT_NAME@", package)
            for folder in {Path(file).parent for file in DEFINITIONS[package]} | {Path("msg")}:
                (include / folder).mkdir(parents=True, exist_ok=True)
                (include / folder / template.stem).write_text(text)


def _compile(packages: List[str], place: Path) -> None:
    """One shared library of everything, and the Python module of each package that uses it."""
    import numpy

    folders = [place / "include"]
    for prefix in _prefixes():
        folders += [prefix / "include", *(path for path in (prefix / "include").glob("*") if path.is_dir())]
    folders += [Path(sysconfig.get_paths()["include"]), Path(numpy.get_include())]
    flags = ["-O0", "-fPIC", "-w", *(f"-I{folder}" for folder in folders)]
    libraries = [f"-L{prefix / 'lib'}" for prefix in _prefixes()] + ["-Wl,--allow-shlib-undefined"]
    for name in USED:
        for kind in ("rosidl_generator_c", "rosidl_typesupport_c", TYPESUPPORT, "rosidl_generator_py"):
            libraries.append(f"-l{name}__{kind}")
    libraries += [f"-l{name}" for name in ("rosidl_runtime_c", "rosidl_typesupport_c", TYPESUPPORT)]
    objects, jobs = [], []
    for package in packages:
        extension = place / "python" / package / f"_{package}_s.ep.rosidl_typesupport_c.c"
        sources = [p for p in place.glob(f"*/{package}/**/*.c*") if p.suffix in (".c", ".cpp") and p != extension]
        # C++ in one piece: each file alone would read the same headers again.
        together = place / f"{package}.cpp"
        together.write_text("".join(f'#include "{path}"\n' for path in sources if path.suffix == ".cpp"))
        for source in [together, *(path for path in sources if path.suffix == ".c")]:
            objects.append(str(place / f"{len(objects)}.o"))
            standard = "-std=c++17" if source.suffix == ".cpp" else "-std=gnu11"
            jobs.append([_compiler(source), standard, *flags, "-c", str(source), "-o", objects[-1]])
    (place / "lib").mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda command: subprocess.run(command, check=True), jobs))
    shared = ["-shared", "-Wl,--no-as-needed"]
    library = str(place / "lib" / "libstand_ins.so")
    subprocess.run(["c++", *shared, *objects, "-o", library, *libraries], check=True)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    modules = []
    for package in packages:
        folder = place / "python" / package
        modules.append([
            "cc", *flags, *shared, str(folder / f"_{package}_s.ep.rosidl_typesupport_c.c"), "-o",
            str(folder / f"{package}_s__rosidl_typesupport_c{suffix}"), f"-L{place / 'lib'}", "-lstand_ins",
            "-Wl,-rpath,$ORIGIN/../../lib", *libraries,
        ])  # fmt: skip
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda command: subprocess.run(command, check=True), modules))
    for path in objects:
        Path(path).unlink()


def _compiler(source: Path) -> str:
    return "c++" if source.suffix == ".cpp" else "cc"


if __name__ == "__main__":
    for given in sys.argv[2:]:
        _generate(given, Path(sys.argv[1]))
    _compile(sys.argv[2:], Path(sys.argv[1]))
