#!/bin/sh
# install_extras.sh [chromium] [promtool] [luacheck]: fetches what tests and checks need beside Python, when it is missing
# and this machine lets us; without a name, all of it. Debian's Chromium is for the browser tests, the promtool of its
# package prometheus for the alerts, its package lua-check for the scripts. Says so when it cannot.
updated=
may() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    [ -n "$updated" ] || apt-get update -qq >/dev/null 2>&1 || return 1
    updated=yes
}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1
}

fetch_chromium() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    may || return 1
    echo "Installing chromium for the browser tests"
    install chromium
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

fetch_luacheck() {
    if command -v luacheck >/dev/null 2>&1; then return 0; fi
    may || return 1
    echo "Installing luacheck for the check of the scripts"
    install lua-check
}

missed_chromium="no chromium on this machine and none could be installed: the browser tests will be SKIPPED"
missed_promtool="no promtool on this machine and none could be fetched: the alerts will NOT BE TESTED"
missed_luacheck="no luacheck on this machine and none could be installed: Lua will NOT BE CHECKED"

[ $# -gt 0 ] || set -- chromium promtool luacheck
for extra in "$@"; do
    "fetch_$extra" || eval "echo \"NOTE: \$missed_$extra\""
done
