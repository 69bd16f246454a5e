"""docs/robot.md, where packages come from: its commands work with a Python that takes none itself, and the programs
find them.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


def first_block():
    """The commands from a bare robot to the first object, one a line."""
    block = re.search(r"```bash\n(.*?)```", (ROOT / "docs" / "robot.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    return block.replace("\\\n", " ").splitlines()


def write_wheel(folder, name, version):
    """An empty package as a wheel: what pip needs to install that name and version from a folder."""
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, content in files.items():
            wheel.writestr(f"{stem}.dist-info/{file}", content)
        record = "".join(f"{stem}.dist-info/{file},,\n" for file in [*files, "RECORD"])
        wheel.writestr(f"{stem}.dist-info/RECORD", record)


def system_python():
    """Debian's own Python, which refuses pip packages, where it can make environments; else the one below this
    environment.
    """
    own = Path("/usr/bin/python3")
    if own.exists():
        asked = subprocess.run(
            [own, "-I", "-c", "import ensurepip, sys; sys.exit(sys.version_info < (3, 10))"],
            check=False,
            stderr=subprocess.DEVNULL,
        )
        if asked.returncode == 0:
            return own
    return Path(getattr(sys, "_base_executable", sys.executable))


def test_the_documented_environment_takes_the_pins(tmp_path):
    """The page's own commands, from the environment to pip, without a network: the wheels are empty ones of the same
    names.
    """
    lines = first_block()
    start = next(number for number, line in enumerate(lines) if line.startswith("python3 -m venv"))
    end = next(number for number, line in enumerate(lines) if line.startswith("colcon build"))
    commands = lines[start:end]
    assert len(commands) == 2 and commands[1].startswith("pip install")
    wheels, workspace, programs = tmp_path / "wheels", tmp_path / "ws", tmp_path / "bin"
    for folder in (wheels, workspace / "src" / "clue_ros", programs):
        folder.mkdir(parents=True)
    shutil.copytree(ROOT / "requirements", workspace / "src" / "clue_ros" / "requirements")
    pins = [
        Requirement(line)
        for line in (ROOT / "requirements" / "core.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    for pin in pins:
        write_wheel(wheels, pin.name, str(pin.specifier).removeprefix("=="))
    (programs / "python3").symlink_to(system_python())
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "LANG": "C.UTF-8",
    }
    script = "\n".join(
        ["set -e", *commands, 'python3 -c "import sys; print(sys.prefix)"', "pip list --format freeze --local"]
    )
    ran = subprocess.run(
        ["bash", "-c", script], cwd=workspace, env=environment, text=True, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert str(tmp_path / "clue_venv") in ran.stdout.splitlines()
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    for pin in here:
        assert f"{pin.name}{pin.specifier}" in ran.stdout
    assert "include-system-site-packages = true" in (tmp_path / "clue_venv" / "pyvenv.cfg").read_text(encoding="utf-8")


def installed_programs():
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        folder = Path(prefix, "lib", "clue_ros")
        if folder.is_dir():
            return folder
    pytest.skip("clue_ros is not built (make test builds it)")


def test_the_programs_run_with_the_python_that_built_them(tmp_path):
    """`ros2 run` and `ros2 launch` start them from terminals where no environment is active."""
    program = installed_programs() / "clue"
    interpreter = program.read_text(encoding="utf-8").splitlines()[0].removeprefix("#!")
    if interpreter == "/usr/bin/env python3":
        assert len(sys.prefix) > 100 or " " in sys.prefix, "only a path that Linux does not take is left out"
        pytest.skip("the environment's path is too long for a first line")
    assert Path(interpreter).samefile(sys.executable) and Path(interpreter).parent == Path(sys.prefix, "bin")
    outside = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PATH")}
    ran = subprocess.run(
        [program, "--help"],
        env={**outside, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0 and "ground" in ran.stdout, ran.stderr


def test_a_program_built_outside_the_environment_says_so(tmp_path):
    """One sentence in place of a traceback: here with a Python that has none of the packages."""
    program = tmp_path / "clue"
    text = (ROOT / "scripts" / "executable.py.in").read_text(encoding="utf-8")
    program.write_text(text.replace("@EXECUTABLE@", "clue").replace("@MODULE@", "clue_ros.cli.main"), encoding="utf-8")
    ran = subprocess.run([sys.executable, "-I", "-S", program], text=True, capture_output=True, check=False)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert re.match(r"clue: \S+ has no module 'clue_ros\S*': source install/setup\.bash, and build inside", ran.stderr)


def test_the_modules_that_every_program_imports_first_are_there():
    template = (
        (ROOT / "scripts" / "executable.py.in").read_text(encoding="utf-8").replace("@MODULE@", "clue_ros.cli.main")
    )
    named = [node.module for node in ast.walk(ast.parse(template)) if isinstance(node, ast.ImportFrom)]
    assert len(named) == 2
    for module in named:
        assert ROOT.joinpath(*module.split(".")).with_suffix(".py").is_file(), module


@pytest.mark.parametrize(
    "python, first_line",
    [
        ("/opt/clue/bin/python3", "#!/opt/clue/bin/python3"),
        ("/srv/my robot/bin/python3", "#!/usr/bin/env python3"),
        ("/srv/" + "x" * 120 + "/bin/python3", "#!/usr/bin/env python3"),
    ],
)
def test_the_first_line_is_one_that_linux_takes(tmp_path, python, first_line):
    cmake = shutil.which("cmake")
    assert cmake, "cmake is not on PATH: run the tests through make test"
    rule = re.search(
        r"^set\(PROGRAMS_PYTHON.*?^endif\(\)\n",
        (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )[0]
    script = tmp_path / "rule.cmake"
    script.write_text(
        rule + f'configure_file("{ROOT}/scripts/executable.py.in" "{tmp_path}/program" @ONLY)\n', encoding="utf-8"
    )
    subprocess.run([cmake, f"-DPython3_EXECUTABLE={python}", "-P", script], cwd=tmp_path, check=True)
    assert (tmp_path / "program").read_text(encoding="utf-8").splitlines()[0] == first_line
