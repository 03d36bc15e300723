#!/bin/sh
# Copies the licence texts of what is linked into the binary: licences.sh FOLDER. They come with the -dev packages it is built with.
set -eu
mkdir -p "$1"
for library in boost:libboost1.81-dev sqlite:libsqlite3-dev zstd:libzstd-dev zlib:zlib1g-dev tomlplusplus:libtomlplusplus-dev \
    spdlog:libspdlog-dev fmt:libfmt-dev; do
    install -m 0644 "/usr/share/doc/${library#*:}/copyright" "$1/${library%%:*}"
done
