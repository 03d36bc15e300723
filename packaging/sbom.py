#!/usr/bin/env python3
"""The software bill of materials of a release as SPDX 2.3 in JSON: sbom.py VERSION

Versions are those of the Debian packages it is built with, so run it where the packages were built. SOURCE_DATE_EPOCH dates it.
"""
import datetime
import json
import os
import subprocess
import sys
import urllib.parse
import uuid

# Debian package, name, licence (SPDX), how it gets into the bridge.
LIBRARIES = [
    ("libboost1.81-dev", "Boost", "BSL-1.0", "STATIC_LINK"),
    ("libsqlite3-dev", "SQLite", "blessing", "STATIC_LINK"),
    ("libzstd-dev", "zstd", "BSD-3-Clause", "STATIC_LINK"),
    ("zlib1g-dev", "zlib", "Zlib", "STATIC_LINK"),
    ("libtomlplusplus-dev", "toml++", "MIT", "STATIC_LINK"),
    ("libspdlog-dev", "spdlog", "MIT", "STATIC_LINK"),
    ("libfmt-dev", "fmt", "MIT", "STATIC_LINK"),
    ("libssl-dev", "OpenSSL", "Apache-2.0", "DYNAMIC_LINK"),
    ("libsystemd-dev", "libsystemd", "LGPL-2.1-or-later", "DYNAMIC_LINK"),
    ("librdkafka-dev", "librdkafka", "BSD-2-Clause", "DYNAMIC_LINK"),  # loaded where a destination is of Kafka
    ("libpq-dev", "libpq", "PostgreSQL", "DYNAMIC_LINK"),  # loaded where the archive is in PostgreSQL
    ("libstdc++6", "libstdc++", "GPL-3.0-or-later WITH GCC-exception-3.1", "DYNAMIC_LINK"),
    ("libc6", "glibc", "LGPL-2.1-or-later", "DYNAMIC_LINK"),
]


def debian_version(package: str) -> str:
    return subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=True).stdout


def package(identifier: str, name: str, version: str, licence: str, supplier: str, **more) -> dict:
    return {"SPDXID": identifier, "name": name, "versionInfo": version, "supplier": supplier, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": "NOASSERTION", **more}


def bill(version: str, at: int) -> dict:
    packages = [package("SPDXRef-dtbridge", "dtbridge", version, "Apache-2.0", "Organization: dtbridge maintainers",
                        primaryPackagePurpose="APPLICATION")]
    relationships = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-dtbridge"}]
    for debian, name, licence, how in LIBRARIES:
        found = debian_version(debian)
        identifier = "SPDXRef-" + debian.replace("+", "-")
        locator = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                   # https://github.com/package-url/purl-spec: what is not a letter, a digit or of ".-_~" is percent-encoded.
                   "referenceLocator": f"pkg:deb/debian/{urllib.parse.quote(debian, '')}@{urllib.parse.quote(found, '')}?distro=bookworm"}
        packages.append(package(identifier, name, found, licence, "Organization: Debian", primaryPackagePurpose="LIBRARY", externalRefs=[locator]))
        relationships.append({"spdxElementId": "SPDXRef-dtbridge", "relationshipType": how, "relatedSpdxElement": identifier})
    when = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"dtbridge-{version}"
    # The namespace has to be unique to the document; the same content gives the same one.
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([name, when, packages], sort_keys=True))
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
            "documentNamespace": f"urn:uuid:{namespace}", "creationInfo": {"created": when, "creators": ["Tool: dtbridge-sbom"]},
            "packages": packages, "relationships": relationships}


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    print(json.dumps(bill(sys.argv[1], int(os.environ.get("SOURCE_DATE_EPOCH", "0"))), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
