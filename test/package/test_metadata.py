"""package.xml, setup.py and the version agree with each other and with what the code imports."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

catkin_package = pytest.importorskip("catkin_pkg.package")

ROOT = Path(__file__).resolve().parents[2]

# Import name -> rosdep key of package.xml, where they differ.
DEPENDENCY_OF = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "PIL": "python3-pil",
    "yaml": "python3-yaml",
    "rich": "python3-rich",
    "tqdm": "python3-tqdm",
    "matplotlib": "python3-matplotlib",
    "torch": "python3-torch",
    "jinja2": "python3-jinja2",
    "fastapi": "python3-fastapi",
    "uvicorn": "python3-uvicorn",
    "websockets": "python3-websockets",
    "tf2_ros": "tf2_ros_py",
}
# Come with pip: rosdep has no key for them (the first four), or one that calls pip, which Debian 12 and Ubuntu 24.04
# refuse.
PIP_ONLY = {"peft", "accelerate", "safetensors", "tokenizers", "transformers", "mujoco", "rosbags"}
# Used where they are importable, and only there (DESIGN: "Optional").
OPTIONAL = {
    "vision_msgs",
    "hri_msgs",
    "tts_msgs",
    "communication_skills",
    "tf2_geometry_msgs",
    "torchao",
    "ray",
    "openvino",
    "pycocoevalcap",
    "wandb",
    "pyarrow",
    "bond",
    "bondpy",
}
# Come with one of the dependencies.
BROUGHT_ALONG = {
    "rosidl_runtime_py": "rclpy",
    "rpyutils": "rclpy",
    "OpenGL": "mujoco",
    "starlette": "python3-fastapi",
    "huggingface_hub": "transformers",
    "markupsafe": "python3-jinja2",
}
# rosdistro's rosdep/python.yaml of August 2026: keys with packages of Debian 12 and Ubuntu 22.04 and 24.04 themselves.
ROSDEP_KEYS = {
    "python3-numpy",
    "python3-opencv",
    "python3-pil",
    "python3-yaml",
    "python3-rich",
    "python3-tqdm",
    "python3-matplotlib",
    "python3-jinja2",
    "python3-fastapi",
    "python3-uvicorn",
    "python3-websockets",
    "python3-torch",
    "python3-pytest",
    "python3-hypothesis",
}
# Packages of <distribution>/distribution.yaml, there and then.
IN_EVERY_DISTRIBUTION = {
    "ament_cmake",
    "ament_cmake_python",
    "ament_cmake_pytest",
    "rosidl_default_generators",
    "rosidl_default_runtime",
    "action_msgs",
    "builtin_interfaces",
    "geometry_msgs",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "rclpy",
    "rcl_interfaces",
    "lifecycle_msgs",
    "diagnostic_msgs",
    "unique_identifier_msgs",
    "visualization_msgs",
    "ament_index_python",
    "cv_bridge",
    "tf2_ros_py",
    "launch",
    "launch_ros",
    "rmw_fastrtps_cpp",
}


@pytest.fixture(scope="module")
def package():
    return catkin_package.parse_package(str(ROOT / "package.xml"))


@pytest.mark.parametrize("distribution", ["jazzy", "kilted"])
def test_rosdep_knows_every_dependency(distribution):
    package = catkin_package.parse_package(str(ROOT / "package.xml"))
    package.evaluate_conditions({"ROS_DISTRO": distribution})
    known = ROSDEP_KEYS | IN_EVERY_DISTRIBUTION
    every = [*package.buildtool_depends, *package.build_depends, *package.exec_depends, *package.test_depends]
    unknown = {dependency.name for dependency in every if dependency.evaluated_condition} - known
    assert not unknown, f"`rosdep install` ends with an error in {distribution}: {unknown}"


def test_what_comes_with_pip_is_pinned():
    pinned = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "core.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert PIP_ONLY <= pinned
    assert all(name in (ROOT / "package.xml").read_text(encoding="utf-8") for name in PIP_ONLY), "package.xml says so"


def imported_names():
    """Top-level names that the package and its launch files import, with one place of use each."""
    found = {}
    for path in [*sorted((ROOT / "clue_ros").rglob("*.py")), *sorted((ROOT / "launch").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in names:
                found.setdefault(name.split(".")[0], path.relative_to(ROOT))
    return found


def test_package_is_an_interface_package_built_by_ament_cmake(package):
    assert package.name == "clue_ros"
    assert package.get_build_type() == "ament_cmake"
    assert "rosidl_interface_packages" in [group.name for group in package.member_of_groups]
    assert package.licenses == ["Apache-2.0"]


def test_every_import_is_a_declared_dependency(package):
    declared = {dependency.name for dependency in [*package.exec_depends, *package.build_depends]}
    missing = {}
    for name, place in imported_names().items():
        if name in sys.stdlib_module_names or name in OPTIONAL or name == "clue_ros":
            continue
        if DEPENDENCY_OF.get(name, BROUGHT_ALONG.get(name, name)) not in declared | PIP_ONLY:
            missing[name] = str(place)
    assert not missing, f"package.xml does not name what these files import: {missing}"


def test_interface_packages_are_depended_on(package):
    used = set()
    for pattern in ("msg/*.msg", "srv/*.srv", "action/*.action"):
        for path in ROOT.glob(pattern):
            used |= set(re.findall(r"^([a-z][a-z0-9_]*)/[A-Z]", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    declared = {dependency.name for dependency in package.build_depends} | {"clue_ros"}
    assert used <= declared, f"package.xml lacks <depend> for {sorted(used - declared)}"


def test_version_is_the_same_everywhere(package):
    from clue_ros.version import VERSION

    setup_cfg = re.search(r"^version = (\S+)", (ROOT / "setup.cfg").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert package.version == setup_cfg.group(1) == VERSION


def test_changelog_is_one_that_catkin_reads_and_begins_with_what_is_next(package):
    changelog = pytest.importorskip("catkin_pkg.changelog").get_changelog_from_path(str(ROOT), package.name)
    assert [version for version, _, content in changelog.foreach_version() if content] == [package.version]
    titles = re.findall(r"^(.+)\n-{3,}$", (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] == "Forthcoming" and titles[1].startswith(f"{package.version} (")


def test_modules_that_the_changelog_sends_users_to_are_there():
    """The right side of every arrow, where it is a whole name."""
    targets = re.findall(r"->\s+``(clue_ros[\w.]+)``", (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8"))
    missing = [
        t for t in targets if not any((ROOT / (t.replace(".", "/") + end)).exists() for end in (".py", "/__init__.py"))
    ]
    assert len(targets) >= 8 and not missing


def test_people_and_contact_are_the_same_everywhere(package):
    setup_cfg = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    (author,), (maintainer,) = package.authors, package.maintainers
    assert author.name == maintainer.name and author.email == maintainer.email
    assert f"author = {author.name}\nauthor_email = {author.email}\n" in setup_cfg


def test_no_path_of_one_machine_in_a_tracked_file():
    """A path of the machine that a file was written on would break every other one."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    private = re.compile(r"(?<![\w.])/(?:work/(?:main|shared)|root/|home/\w+/|opt/wheels)")
    offenders = []
    for name in listing.stdout.splitlines():
        path = ROOT / name
        if (
            path == Path(__file__).resolve()
            or path.suffix in {".safetensors", ".png", ".webp", ".jpg"}
            or not path.is_file()
        ):
            continue
        if private.search(path.read_text(encoding="utf-8", errors="ignore")):
            offenders.append(name)
    assert not offenders, f"paths of one machine in {offenders}"
