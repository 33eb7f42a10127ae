#!/bin/sh
# Fetches what some tests need beside Python's packages, when it is missing and this machine lets us: Debian's Chromium,
# the promtool of its package prometheus, and the libraries of the examples in JavaScript and Go. All but Chromium go
# into .extras. What cannot be had is named here, and its tests are skipped; where CI is set they fail.
extras=$PWD/.extras
examples=docs/examples

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && apt-get update -qq >/dev/null 2>&1; }

fetch_chromium() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    may_install || return 1
    echo "Installing chromium for the browser tests"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1
}

# Unpacked, not installed: the package would start a server.
fetch_promtool() {
    if command -v promtool >/dev/null 2>&1 || [ -x "$extras/promtool" ]; then return 0; fi
    may_install || return 1
    echo "Fetching promtool for the tests of the alerts"
    scratch=$(mktemp -d)
    (cd "$scratch" && apt-get download -qq prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb unpacked) || return 1
    mkdir -p "$extras" && cp "$scratch/unpacked/usr/bin/promtool" "$extras/" && rm -rf "$scratch"
}

# The copy of the lock file says what is there. It comes last.
fetch_javascript() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    if cmp -s "$examples/javascript/package-lock.json" "$extras/javascript/fetched.json"; then return 0; fi
    echo "Fetching the libraries of the JavaScript example"
    mkdir -p "$extras/javascript" && cp "$examples"/javascript/package*.json "$extras/javascript/" || return 1
    (cd "$extras/javascript" && npm ci --prefer-offline --no-audit --no-fund >/dev/null 2>&1) || return 1
    cp "$examples/javascript/package-lock.json" "$extras/javascript/fetched.json"
}

# What is compiled here is in Go's cache when the tests compile the example, which may fail there and not here.
fetch_go() {
    command -v go >/dev/null 2>&1 || return 1
    if cmp -s "$examples/go/go.sum" "$extras/go/fetched.sum"; then return 0; fi
    echo "Fetching and compiling the libraries of the Go example, which takes a minute"
    export GOMODCACHE="$extras/go/modules" GOCACHE="$extras/go/built" GOTOOLCHAIN=local CGO_ENABLED=0
    GOFLAGS=-modcacherw go -C "$examples/go" mod download >/dev/null 2>&1 || return 1
    for verb in "build -o /dev/null" vet; do
        go -C "$examples/go" $verb "-gcflags=all=-N -l" . >/dev/null 2>&1
    done
    cp "$examples/go/go.sum" "$extras/go/fetched.sum"
}

need() { "$1" || echo "NOTE: no $2 on this machine, and none could be fetched: $3 will be SKIPPED"; }

need fetch_chromium "Chromium" "the tests of the pages"
need fetch_promtool "promtool" "the tests of the alerts"
need fetch_javascript "node with npm and the example's libraries" "the JavaScript example"
need fetch_go "Go with the example's libraries" "the Go example"
exit 0
