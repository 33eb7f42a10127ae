#!/bin/sh
# Copies the append-only files of a running Valkey or Redis (7 or newer), while it goes on:
#
#     deploy/backup.sh /data/appendonlydir /backups/2026-12-01T04
#
# To restore, put the copy into an empty data folder as `appendonlydir`, and start a server there with the same
# settings. It needs no connection and no rights but to read the files. docs/deployment.md says what comes then.
#
# A base file never changes and the newest file only grows, so what is copied is the store as it was at some moment. A
# rewrite meanwhile replaces the manifest: then it starts again. The folder appears when it is whole.
set -eu

from=${1:?usage: backup.sh APPENDONLYDIR TARGET}
to=${2:?usage: backup.sh APPENDONLYDIR TARGET}
half="$to.half"

fail() {
    echo "backup.sh: $1" >&2
    exit 1
}

[ ! -e "$to" ] || fail "$to exists already: name a new folder"
set -- "$from"/*.manifest
[ -f "$1" ] || fail "$from has no manifest: is it the appendonlydir of a server with appendonly yes?"
manifest=$1

for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$half"
    mkdir -p "$half"
    cp "$manifest" "$half/"
    whole=yes
    for file in $(sed -n 's/^file \([^ ]*\) seq [0-9]* type [bi].*/\1/p' "$half/${manifest##*/}"); do
        cp "$from/$file" "$half/" 2>/dev/null || whole=no
    done
    if [ "$whole" = yes ] && cmp -s "$manifest" "$half/${manifest##*/}"; then
        sync
        mv "$half" "$to"
        exit 0
    fi
    sleep 1
done
rm -rf "$half"
fail "the files were rewritten again and again, or are not readable: see whether auto-aof-rewrite-percentage is too low"
