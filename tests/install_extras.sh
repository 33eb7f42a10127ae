#!/bin/sh
# Fetches what some tests need beside Python, when it is missing and this machine lets us: Debian's Chromium for the
# browser tests, and the promtool of its package prometheus for the alerts. Says so when it cannot.
may() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && apt-get update -qq >/dev/null 2>&1; }

fetch_chromium() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    may || return 1
    echo "Installing chromium for the browser tests"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1
}

# Unpacked, not installed: the package would start a server.
fetch_promtool() {
    if command -v promtool >/dev/null 2>&1 || [ -x .promtool/usr/bin/promtool ]; then return 0; fi
    may || return 1
    echo "Fetching promtool for the tests of the alerts"
    scratch=$(mktemp -d)
    (cd "$scratch" && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb unpacked) || return 1
    mkdir -p .promtool/usr/bin && cp "$scratch/unpacked/usr/bin/promtool" .promtool/usr/bin/ && rm -rf "$scratch"
}

fetch_chromium || echo "NOTE: no chromium on this machine and none could be installed: the browser tests will be SKIPPED"
fetch_promtool || echo "NOTE: no promtool on this machine and none could be fetched: the alerts will NOT BE TESTED"
