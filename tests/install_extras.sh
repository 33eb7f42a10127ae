#!/bin/sh
# install_extras.sh [chromium] [promtool] [haproxy] [luacheck] [javascript] [go] [kustomize] [clients]
# [clients_javascript]: fetches what some tests and checks need beside Python's packages, when it is missing and this
# machine lets us; without a name, all of it. Debian's Chromium is for the tests of the pages, the promtool of its
# package prometheus for the alerts, its haproxy for deploy/haproxy.cfg, its package lua-check for the scripts. The
# libraries of the examples in JavaScript and Go, the clients of other APIs, and kustomize go into .extras. What cannot
# be had is named here, and its tests are skipped; where CI is set they fail, except for kustomize.
extras=$PWD/.extras
examples=docs/examples
updated=

may_install() {
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
    may_install || return 1
    echo "Installing chromium for the browser tests"
    install chromium
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

# Unpacked with the libraries that are missing here, for the same reason.
fetch_haproxy() {
    if command -v haproxy >/dev/null 2>&1 || [ -x "$extras/haproxy" ]; then return 0; fi
    may_install || return 1
    echo "Fetching haproxy for the test of its configuration"
    scratch=$(mktemp -d) && mkdir "$scratch/partial" || return 1
    apt-get install -y -qq --no-install-recommends --download-only -o "Dir::Cache::archives=$scratch" haproxy \
        >/dev/null 2>&1 || return 1
    mkdir -p "$extras" || return 1
    for package in "$scratch"/*.deb; do dpkg -x "$package" "$extras/unpacked-haproxy" || return 1; done
    rm -rf "$scratch"
    libraries=$(find "$extras/unpacked-haproxy" -name '*.so*' -exec dirname {} + | sort -u | paste -sd:)
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$extras/unpacked-haproxy/usr/sbin/haproxy" \
        >"$extras/haproxy" && chmod +x "$extras/haproxy"
}

fetch_luacheck() {
    if command -v luacheck >/dev/null 2>&1; then return 0; fi
    may_install || return 1
    echo "Installing luacheck for the check of the scripts"
    install lua-check
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

# Clients of other APIs, in an environment of their own: their dependencies are not ours.
fetch_clients() {
    lock=tests/clients/requirements.lock
    if cmp -s "$lock" "$extras/clients/fetched.lock"; then return 0; fi
    python=python3
    [ -x .venv/bin/python ] && python=.venv/bin/python
    echo "Fetching the Python clients of other APIs, which takes half a minute"
    rm -rf "$extras/clients" && "$python" -m venv "$extras/clients" || return 1
    "$extras/clients/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
        -r "$lock" >/dev/null 2>&1 || return 1
    cp "$lock" "$extras/clients/fetched.lock"
}

fetch_clients_javascript() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    lock=tests/clients/javascript/package-lock.json
    if cmp -s "$lock" "$extras/clients-javascript/fetched.json"; then return 0; fi
    echo "Fetching the JavaScript clients of other APIs"
    mkdir -p "$extras/clients-javascript" && cp tests/clients/javascript/*.json "$extras/clients-javascript/" || return 1
    (cd "$extras/clients-javascript" && npm ci --prefer-offline --no-audit --no-fund >/dev/null 2>&1) || return 1
    cp "$lock" "$extras/clients-javascript/fetched.json"
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

# Its result is compared with that of the tests' own merging, which builds the overlays on every machine.
fetch_kustomize() {
    if command -v kustomize >/dev/null 2>&1 || [ -x "$extras/kustomize" ]; then return 0; fi
    command -v go >/dev/null 2>&1 || return 1
    echo "Compiling kustomize for the tests of the manifests, which takes some minutes"
    export GOMODCACHE="$extras/go/modules" GOCACHE="$extras/go/built" GOTOOLCHAIN=local CGO_ENABLED=0
    GOBIN=$extras GOFLAGS=-modcacherw go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 >/dev/null 2>&1
}

missed_chromium="no Chromium on this machine and none could be installed: the tests of the pages will be SKIPPED"
missed_promtool="no promtool on this machine and none could be fetched: the tests of the alerts will be SKIPPED"
missed_haproxy="no haproxy on this machine and none could be fetched: the test of its configuration will be SKIPPED"
missed_luacheck="no luacheck on this machine and none could be installed: Lua will NOT BE CHECKED"
missed_javascript="no node with npm, or no libraries of the example: the JavaScript example will be SKIPPED"
missed_clients="the Python clients of other APIs could not be installed: the doors will NOT BE TESTED with them"
missed_clients_javascript="no node with npm, or no library: the doors will NOT BE TESTED with JavaScript clients"
missed_go="no Go, or no libraries of the example: the Go example will be SKIPPED"
missed_kustomize="no kustomize, and no Go that compiles it: it will NOT BE COMPARED with the tests' own merging"

[ $# -gt 0 ] || set -- chromium promtool haproxy luacheck javascript go kustomize clients clients_javascript
for extra in "$@"; do
    "fetch_$extra" || eval "echo \"NOTE: \$missed_$extra\""
done
