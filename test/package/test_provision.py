"""Set-up: stamps tell finished from interrupted, CMake files are adapted once, missing packages are named in one
line.
"""

import importlib
import sys
from pathlib import Path

import pytest

PROVISION = Path(__file__).resolve().parents[2] / "scripts" / "provision"


@pytest.fixture
def provision(monkeypatch):
    """Imports a module of scripts/provision by name; the folder is a program, not a package."""
    monkeypatch.syspath_prepend(str(PROVISION))
    yield importlib.import_module
    for name in ("stage", "system", "environment", "ros"):
        sys.modules.pop(name, None)


@pytest.fixture
def setup(provision, tmp_path):
    return provision("stage").Setup(root=tmp_path, venv=tmp_path / "venv", ros_distro=None)


def test_stage_is_done_only_after_an_undisturbed_run_with_the_same_inputs(provision, setup, tmp_path):
    Stage = provision("stage").Stage
    first = Stage(setup, "torch", tmp_path / "venv", ("2.13.0", "CPU"))
    assert not first.is_done()
    with pytest.raises(KeyboardInterrupt):
        with first:
            raise KeyboardInterrupt
    assert not first.is_done()
    with first:
        pass
    assert Stage(setup, "torch", tmp_path / "venv", ("2.13.0", "CPU")).is_done()
    assert not Stage(setup, "torch", tmp_path / "venv", ("2.13.0", "CUDA")).is_done()


def test_interrupting_a_repeated_stage_forgets_the_earlier_success(provision, setup, tmp_path):
    Stage = provision("stage").Stage
    with Stage(setup, "packages", tmp_path / "venv", ("one",)):
        pass
    with pytest.raises(ValueError):
        with Stage(setup, "packages", tmp_path / "venv", ("two",)):
            raise ValueError
    assert not Stage(setup, "packages", tmp_path / "venv", ("one",)).is_done()


@pytest.mark.parametrize("tag", ["cp310-cp310", "cp313-cp313"])
def test_include_folders_of_the_build_machine_are_recognised(provision, tag):
    ros = provision("ros")
    version = f"{tag[2]}.{tag[3:5]}"
    text = (
        f'"/opt/python/{tag}/include/python{version};'
        f'/opt/python/{tag}/lib/python{version}/site-packages/numpy/_core/include"'
    )
    fitted = ros.BUILD_MACHINE_PYTHON.sub("PY", ros.BUILD_MACHINE_NUMPY.sub("NP", text))
    assert fitted == '"PY;NP"'


def test_missing_packages_are_one_line_to_type(provision, setup, monkeypatch):
    system, stage = provision("system"), provision("stage")
    monkeypatch.setattr(system, "has_compiler", lambda: False)
    monkeypatch.setattr(system, "renderer_in_use", lambda: "")
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    with pytest.raises(stage.SetupError) as error:
        system.check_packages(setup)
    assert "\n" not in str(error.value)
    assert "sudo apt-get install -y --no-install-recommends g++ make libegl1" in str(error.value)


def test_failed_command_shows_its_last_lines_and_what_to_do(provision, setup):
    stage = provision("stage")
    with pytest.raises(stage.SetupError) as error:
        stage.run_logged(
            setup, [sys.executable, "-c", "import sys; print('the reason'); sys.exit(3)"], "step", "Do this."
        )
    assert "the reason" in str(error.value) and "Do this." in str(error.value) and "exit status 3" in str(error.value)


def test_environment_of_another_python_does_not_leak_in(provision, monkeypatch):
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    clean = provision("stage").clean_environment
    assert "PYTHONPATH" not in clean() and "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in clean()
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert clean()["PYTHONPATH"] == "/somewhere"


def test_other_wheels_share_nothing_that_is_written(provision, tmp_path):
    stage, environment = provision("stage"), provision("environment")
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "constraints.txt").write_text("numpy==2.4.6\nros-rcl==10.1.3\n")
    (tmp_path / "venv-jazzy").mkdir()
    kilted = stage.Setup(root=tmp_path, venv=tmp_path / "venv", ros_distro=None)
    jazzy = stage.Setup(root=tmp_path, venv=tmp_path / "venv-jazzy", ros_distro=None, wheels="jazzy")
    assert kilted.workspace == tmp_path and jazzy.workspace == tmp_path / "venv-jazzy"
    assert kilted.lock_file != jazzy.lock_file
    assert [setup.ros_requirements.name for setup in (kilted, jazzy)] == ["ros-kilted.txt", "ros-jazzy.txt"]
    assert stage.lines_of(environment.constraints(jazzy)) == ["numpy==2.4.6"], "Kilted's pins are not Jazzy's"
    assert environment.constraints(kilted) == tmp_path / "requirements" / "constraints.txt"
    sourced = stage.Setup(root=tmp_path, venv=tmp_path / "venv", ros_distro="jazzy")
    assert sourced.ros_requirements.name == "ros-installed.txt"


def test_extras_are_installed_only_where_they_are_asked_for(provision, tmp_path, monkeypatch):
    stage, environment = provision("stage"), provision("environment")
    (tmp_path / "requirements").mkdir()
    for name in ("core", "test", "docs", "lint", "ros-kilted", "constraints"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(f"{name}-package==1\n")
    calls = []
    monkeypatch.setattr(
        environment,
        "pip_install",
        lambda setup, arguments, log_name: calls.append([Path(part).name for part in arguments if part != "-r"]),
    )

    def install(*extras):
        setup = stage.Setup(root=tmp_path, venv=tmp_path / "venv", ros_distro=None, keys={"torch": "key"})
        environment.install_packages(setup, extras)
        return [calls.pop()] if calls else []

    assert [sorted(names) for names in install()] == [["core.txt", "ros-kilted.txt", "test.txt"]]
    assert install() == []
    assert ["docs.txt" in names for names in install("docs")] == [True], "asked for later, on top of what is there"
    assert install("docs") == [] and install() == []
    assert ["lint.txt" in names for names in install("docs", "lint")] == [True]
    (tmp_path / "requirements" / "constraints.txt").write_text("another==1\n")
    assert [{"docs.txt", "lint.txt"} <= set(names) for names in install("docs", "lint")] == [True], "one pip call"
    assert install("docs", "lint") == []
