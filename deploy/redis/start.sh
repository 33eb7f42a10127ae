#!/bin/sh
# start.sh server | member NAME [PRIMARY] | sentinel NAME: starts Valkey with users, in the image of Valkey.
#
# server     the only one; a member is one of several under the sentinels, which know it by NAME. It begins as a replica
#            of PRIMARY, and afterwards as what the sentinels made of it.
# redis_url  the secret with the URL of the gateway, such as redis://gateway:PASSWORD@redis:6379/0
# redis_peer_password  the secret of members and sentinels
set -eu
umask 077
secrets=${SECRETS:-/run/secrets} settings=${SETTINGS:-/etc/valkey} data=${DATA:-/data}
role=$1 name=${2:-} primary=${3:-}

refuse() {
    echo "start.sh: $1" >&2
    exit 2
}

# A file of users takes digests, which keep such a password secret. Others would need quotes or escapes in a URL.
checked() {
    case $2 in
    "" | *[!A-Za-z0-9_-]*) refuse "$1 needs a password of letters, digits, - and _: openssl rand -hex 32" ;;
    esac
    printf %s "$2"
}

digest() {
    printf %s "$1" | sha256sum | cut -d ' ' -f 1
}

own=$(checked redis_url "$(sed -nE 's|^[a-z+]+://gateway:([^@]*)@.*$|\1|p' "$secrets/redis_url")")
users() {
    if [ "$role" = server ]; then
        sed "/PASSWORD_OF_PEER_SHA256/d; s/PASSWORD_OF_GATEWAY_SHA256/$(digest "$own")/" "$settings/$1"
    else
        sed "s/PASSWORD_OF_PEER_SHA256/$(digest "$peer")/; s/PASSWORD_OF_GATEWAY_SHA256/$(digest "$own")/" "$settings/$1"
    fi >"$data/$1"
}
[ "$role" = server ] || peer=$(checked redis_peer_password "$(cat "$secrets/redis_peer_password")")

if [ "$role" = sentinel ]; then
    users sentinel-users.acl
    # Sentinels keep what they know in their file. A change of a password needs a new one.
    if [ ! -e "$data/sentinel.conf" ]; then
        {
            cat "$settings/sentinel.conf"
            echo "dir $data"
            echo "aclfile $data/sentinel-users.acl"
            echo "sentinel announce-ip $name"
            echo "sentinel auth-user main sentinel"
            echo "sentinel auth-pass main $peer"
            echo "sentinel sentinel-user sentinel"
            echo "sentinel sentinel-pass $peer"
        } >"$data/sentinel.conf"
    fi
    cd "$data"
    exec docker-entrypoint.sh valkey-server "$data/sentinel.conf" --sentinel
fi

users users.acl
follows=${primary:+"replicaof $primary"}
[ ! -e "$data/server.conf" ] || follows=$(grep '^replicaof ' "$data/server.conf" || true)
{
    echo "include $settings/valkey.conf"
    echo "dir $data"
    echo "aclfile $data/users.acl"
    if [ "$role" = member ]; then
        echo "replica-announce-ip $name"
        echo "masteruser replica"
        echo "masterauth $peer"
        # A primary that lost its replicas must not accept what only it would know.
        echo "min-replicas-to-write 1"
        echo "$follows"
    fi
} >"$data/server.conf.new"
mv "$data/server.conf.new" "$data/server.conf"
cd "$data"
exec docker-entrypoint.sh valkey-server "$data/server.conf"
