#!/usr/bin/env bash
# Installs Chromium for the tests of the console's page, where it is missing and may be installed (root, apt-get):
#   scripts/browser.sh          .ci/run calls it; make test works without and skips those tests with a reason
# Never fails: one line says what happened.
set -uo pipefail
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
if [[ "$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "browser: no Chromium here, its tests will be skipped; type:  sudo apt-get install chromium"
  exit 0
fi
log="$(mktemp)"
if { apt-get update -qq; DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends chromium; } >"$log" 2>&1 </dev/null; then
  echo "browser: $(chromium --version 2>/dev/null) installed"
else
  echo "browser: Chromium could not be installed, its tests will be skipped: $(grep -v '^$' "$log" | tail -n 1)"
fi
rm -f "$log"
