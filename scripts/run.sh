#!/usr/bin/env bash
# Runs one command in the environment of clue_ros, from the current directory:
#   scripts/run.sh python -m clue_ros.ros.demo --seed 7
#   scripts/run.sh pytest test/core -k tap
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
exec "$@"
