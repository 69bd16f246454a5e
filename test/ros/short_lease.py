"""A process that DDS gives up three seconds after it was killed, instead of the twenty of the default."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from clue_ros.ros.running.dds_profile import VARIABLES, profile_path

LEASE = """<builtin><discovery_config><leaseDuration><sec>3</sec></leaseDuration>
<leaseAnnouncement><sec>0</sec><nanosec>300000000</nanosec></leaseAnnouncement></discovery_config></builtin>"""


def short_lease(folder: Path) -> Dict[str, str]:
    """Variables for its environment: our profile with another lease."""
    ours = profile_path().read_text(encoding="utf-8")
    assert "<rtps>" in ours
    path = folder / "lease.xml"
    path.write_text(ours.replace("<rtps>", f"<rtps>{LEASE}"), encoding="utf-8")
    return {name: str(path) for name in VARIABLES}
