#!/bin/sh
# Copies the licence texts of what is linked into the binary: licences.sh FOLDER. They come with the -dev packages it is built with.
set -eu
mkdir -p "$1"
for package in libboost1.81-dev libsqlite3-dev libzstd-dev zlib1g-dev libtomlplusplus-dev libspdlog-dev libfmt-dev; do
    install -m 0644 "/usr/share/doc/$package/copyright" "$1/$package"
done
