# The environment in which clue_ros runs. Source it after `make setup` (bash or zsh), or let scripts/run.sh do it:
#   source scripts/env.sh && python -m pytest test/core
#
# Sets: the .venv first on PATH; the install space on PYTHONPATH, LD_LIBRARY_PATH and AMENT_PREFIX_PATH; Fast DDS with the
# shared-memory profile, local traffic only; how MuJoCo draws without a display.

_clue_root="$(cd "$(dirname "${BASH_SOURCE[0]:-${(%):-%x}}")/.." && pwd)"
_clue_space="$_clue_root"  # holds install; ROS 2 of other wheels (CLUE_ROS=jazzy) has everything in its environment
export VIRTUAL_ENV="${CLUE_VENV:-$_clue_root/.venv}"
if [ "${CLUE_ROS:-kilted}" != kilted ]; then
  export VIRTUAL_ENV="${CLUE_VENV:-$_clue_root/.venv-$CLUE_ROS}"
  _clue_space="$VIRTUAL_ENV"
fi
export PATH="$VIRTUAL_ENV/bin:$PATH"
unset PYTHONHOME

_clue_install="$_clue_space/install/clue_ros"
for _clue_site in "$VIRTUAL_ENV"/lib/python3.*/site-packages; do :; done
_clue_python="$(basename "$(dirname "$_clue_site")")"  # python3.X

# Puts $2 in front of the list in variable $1, once.
_clue_prepend() {
  eval "local old=\"\${$1:-}\""
  case ":$old:" in
    *":$2:"*) ;;
    *) export "$1=$2${old:+:$old}" ;;
  esac
}

if [ -z "${ROS_DISTRO:-}" ]; then
  # ROS from wheels. Its bootstrapper would start every interpreter twice to set the library path: it is set here instead.
  _clue_prepend AMENT_PREFIX_PATH "$VIRTUAL_ENV"
  for _clue_libs in "$_clue_site"/ros_*.libs; do
    if [ -d "$_clue_libs" ]; then _clue_prepend LD_LIBRARY_PATH "$_clue_libs"; fi
  done
  _clue_prepend LD_LIBRARY_PATH "$VIRTUAL_ENV/lib"
  export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
fi
_clue_prepend AMENT_PREFIX_PATH "$_clue_install"
_clue_prepend CMAKE_PREFIX_PATH "$_clue_install"
_clue_prepend PATH "$_clue_install/lib/clue_ros"  # clue, clue_node, tabletop_camera, person, demo
_clue_prepend LD_LIBRARY_PATH "$_clue_install/lib"
for _clue_packages in "$_clue_install/lib/$_clue_python/site-packages" "$_clue_install/local/lib/$_clue_python/dist-packages"; do
  # ROS from Debian packages installs to local/.../dist-packages.
  if [ -d "$_clue_packages" ]; then _clue_prepend PYTHONPATH "$_clue_packages"; fi
done

# The source tree in the working directory would shadow the generated clue_ros.msg (Python 3.11 and later obey this).
export PYTHONSAFEPATH=1
export CLUE_ROOT="$_clue_root"

export RMW_IMPLEMENTATION="${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}"
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
# With its default profile Fast DDS lost 97 % of best-effort 640x480 images. Fast DDS 2 (Jazzy and before) reads the one name
# alone, Fast DDS 3 (Kilted) the other, and warns of the first; a profile that you chose under either name stays
# (clue_ros/ros/running/dds_profile.py decides alike).
_clue_profile="${FASTDDS_DEFAULT_PROFILES_FILE:-${FASTRTPS_DEFAULT_PROFILES_FILE:-$_clue_root/config/fastdds_shm.xml}}"
case "${ROS_DISTRO:-${CLUE_ROS:-kilted}}" in
  foxy|galactic|humble|iron|jazzy) export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$_clue_profile}" ;;
  *) export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$_clue_profile}" ;;
esac

if [ -z "${MUJOCO_GL:-}" ]; then
  MUJOCO_GL="$("$VIRTUAL_ENV/bin/python" -I -S -B "$_clue_root/scripts/provision/system.py" 2>/dev/null || true)"
  export MUJOCO_GL="${MUJOCO_GL:-egl}"
fi

# Threads that wait must not spin: beside another busy process (camera, renderer) spinning made torch ten times slower.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

# Nothing is downloaded at run time.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

unset _clue_root _clue_space _clue_profile _clue_install _clue_site _clue_python _clue_libs _clue_packages
unset -f _clue_prepend
