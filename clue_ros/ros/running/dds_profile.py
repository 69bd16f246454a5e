"""The environment variable through which Fast DDS reads config/fastdds_shm.xml; no ROS is needed to import this.

Fast DDS 2 (Humble to Jazzy) reads FASTRTPS_DEFAULT_PROFILES_FILE alone and is silent about the other name; Fast DDS 3
(Kilted and later) reads FASTDDS_DEFAULT_PROFILES_FILE, and its rmw warns of the old name in every process. So the one
that is read is set. scripts/env.sh, which runs before there is a Python, decides alike;
test/package/test_dds_profile.py compares them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import clue_ros

NEW, OLD = VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
DISTRIBUTIONS_WITH_OLD = ("foxy", "galactic", "humble", "iron", "jazzy")


def profile_path() -> Optional[Path]:
    """config/fastdds_shm.xml of the install space or of the source tree; None where neither has it."""
    package_root = Path(clue_ros.__file__).resolve().parent.parent
    folders = [package_root / "config", *(parent / "share" / "clue_ros" / "config" for parent in package_root.parents)]
    return next((folder / "fastdds_shm.xml" for folder in folders if (folder / "fastdds_shm.xml").is_file()), None)


def variables_read(environment: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> Tuple[str, ...]:
    """The variable that the Fast DDS in use reads; both where that cannot be told.

    With a sourced ROS its name says it, with ROS from wheels the library in `prefix`, which Fast DDS 3 has renamed.
    """
    distribution = environment.get("ROS_DISTRO")
    if distribution:
        return (OLD,) if distribution in DISTRIBUTIONS_WITH_OLD else (NEW,)
    if any((prefix / "lib").glob("libfastrtps.so*")):
        return (OLD,)
    return (NEW,) if any((prefix / "lib").glob("libfastdds.so*")) else VARIABLES


def profile_variables(environment: Mapping[str, str]) -> Dict[str, str]:
    """What to add to `environment` so that Fast DDS reads the shared-memory profile.

    A profile that somebody chose stays; under the name that is not read it is given the name that is.
    """
    profile = next((environment[name] for name in VARIABLES if environment.get(name)), None) or profile_path()
    if profile is None:
        return {}
    return {name: str(profile) for name in variables_read(environment) if not environment.get(name)}
