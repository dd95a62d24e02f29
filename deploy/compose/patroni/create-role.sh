#!/bin/sh
# Patroni runs this once, on the new primary, with the connection string of the superuser. The engine is no superuser.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --set "password=$ENGINE_PASSWORD" "$1" <<'SQL'
CREATE ROLE scalecommerce LOGIN PASSWORD :'password';
CREATE DATABASE scalecommerce OWNER scalecommerce;
SQL
