#!/bin/sh
# Installs Debian's Chromium for the browser tests when it is missing and this machine lets us; else says so.
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing chromium for the browser tests"
    if { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "NOTE: no chromium on this machine and none could be installed: the browser tests will be SKIPPED"
