"""A cube as users bring one, with a texture on every side, and a cup in MuJoCo's format."""

import cv2
import numpy as np

CORNERS = [(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
SIDES = ((1, 3, 4, 2), (5, 6, 8, 7), (1, 2, 6, 5), (2, 4, 8, 6), (4, 3, 7, 8), (3, 1, 5, 7))
MTL = "newmtl m\nKd 0.1 0.5 0.1\nmap_Kd -s 1 1 1 texture map.png\n"
MJCF = """<mujoco><worldbody><body pos="0 0 .5"><freejoint/>
<geom type="cylinder" size=".035 .05" rgba=".06 .18 .72 1"/>
<geom type="sphere" size=".3" group="3"/>
<geom type="capsule" size=".008 .02" pos=".05 0 0" rgba=".06 .18 .72 1"/></body></worldbody></mujoco>"""


def write_cube(folder, name="003_cracker_box", side=0.1, texture=None, mtl=MTL, ext="png"):
    """An OBJ cube in the YCB layout, not centred, its texture on every side; returns its folder."""
    place = folder / name / "google_16k"
    place.mkdir(parents=True)
    if texture is None:
        texture = np.full((32, 32, 3), (6, 15, 204), np.uint8)  # BGR: red
    cv2.imwrite(str(place / f"texture map.{ext}"), texture)
    (place / "textured.mtl").write_text(mtl)
    lines = ["mtllib textured.mtl", *(f"v {x * side + 0.3} {y * side} {z * side - 0.2}" for x, y, z in CORNERS)]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1", "usemtl m"]
    lines += ["f " + " ".join(f"{v}/{n + 1}" for n, v in enumerate(quad)) for quad in SIDES]
    (place / "textured.obj").write_text("\n".join(lines) + "\n")
    return place
