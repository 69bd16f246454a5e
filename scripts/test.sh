#!/usr/bin/env bash
# Runs tests in the environment of `make setup`; `make test` calls it.
#   scripts/test.sh                              all of them, in two halves at once
#   scripts/test.sh test/core -k location        a part: what pytest takes
#
# Tests over ROS mostly wait, so the core's run beside them, with what those leave of the processors. Their output comes
# when they are done. Exit status: 0 if both halves passed, else that of the first half that did not.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -gt 0 ]; then
  exec scripts/run.sh python -m pytest "$@"
fi

said="$(mktemp)"
nice -n 10 scripts/run.sh python -m pytest test/core > "$said" 2>&1 &
core=$!
trap 'kill -INT "$core" 2> /dev/null; wait "$core"; rm -f "$said"' EXIT
trap 'exit 130' INT TERM

scripts/run.sh python -m pytest test/ros test/package
others=$?
wait "$core"
status=$?
cat "$said"
[ "$others" -ne 0 ] && status=$others
exit "$status"
