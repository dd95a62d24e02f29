#!/bin/sh
# Starts a Sentinel with the configuration of its volume, which it makes at the first start.
set -eu
cd "${SENTINEL_DIRECTORY:-/data}"
if ! [ -f sentinel.conf ]; then
    {
        cat "${SENTINEL_TEMPLATE:-/etc/sentinel.conf}"
        echo "sentinel announce-ip $(hostname)"
        echo "sentinel auth-pass scalecommerce $REDIS_PASSWORD"
    } > sentinel.conf.new
    mv sentinel.conf.new sentinel.conf
fi
exec "${SENTINEL_PROGRAM:-redis-server}" sentinel.conf --sentinel
