#!/usr/bin/env bash
# Installs what the tests need and is not there yet, from Debian's packages: Chromium for the browser
# test and mosquitto's clients as foreign MQTT clients. InfluxDB is built by the tests that need it.
set -euo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "install ${missing[*]} with your system's package manager, then run this again" >&2
  exit 1
fi
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
