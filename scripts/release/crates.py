"""What the release binary is made of, from Cargo's own account of it and the sources on this machine.

    crates.py sbom TARGET       a bill of materials as CycloneDX 1.5 JSON, on standard output
    crates.py licences TARGET   the licences of all that is linked in, as text

TARGET is a target triple. Both hold the normal dependencies only: what builds and what tests is not
in the binary. The same commit gives the same bytes. It needs `cargo fetch` to have run, no network.
"""

import json
import pathlib
import re
import subprocess
import sys
import time
import tomllib
import uuid

LICENCE_NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")

# Libraries in C that crates bring as source: their names and versions are what an advisory names.
BUNDLED = {
    "libsqlite3-sys": ("sqlite", "sqlite3/sqlite3.h", r'#define SQLITE_VERSION +"([^"]+)"'),
    "libmimalloc-sys": ("mimalloc", "c_src/mimalloc/v3/include/mimalloc.h", r"#define MI_MALLOC_VERSION +(\d+)"),
    "zstd-sys": ("zstd", "zstd/lib/zstd.h", r"#define ZSTD_VERSION_(?:MAJOR|MINOR|RELEASE) +(\d+)"),
    "glommio": ("liburing", "liburing/liburing.spec", r"Version: *([\d.]+)"),
}

# For crates whose package holds no licence text: the standard one, after what their manifest says.
MIT = """MIT License

Copyright (c) {authors}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Tree:
    """The packages that are linked in for a target, the product itself first."""

    def __init__(self, target):
        common = ("--locked", "--offline")
        metadata = json.loads(
            run("cargo", "metadata", *common, "--format-version", "1", "--filter-platform", target)
        )
        packages = {package["id"]: package for package in metadata["packages"]}
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        self.root = metadata["resolve"]["root"]
        # `cargo metadata` also lists optional dependencies that no feature switches on; `cargo tree`
        # knows which are built.
        lines = run(
            "cargo", "tree", *common, "-e", "normal", "--target", target, "--prefix", "none", "--format", "{p}"
        )
        built = {tuple(line.split()[:2]) for line in lines.splitlines() if line}
        chosen = {
            key: package
            for key, package in packages.items()
            if (package["name"], "v" + package["version"]) in built
        }
        if len(chosen) != len(built):
            sys.exit(f"crates: cargo tree names {len(built)} packages, cargo metadata {len(chosen)} of them")
        self.packages = dict(
            sorted(chosen.items(), key=lambda item: (item[0] != self.root, item[1]["name"], item[1]["version"]))
        )
        self.needs = {
            key: sorted(
                dependency["pkg"]
                for dependency in nodes[key]["deps"]
                if dependency["pkg"] in chosen and any(kind["kind"] is None for kind in dependency["dep_kinds"])
            )
            for key in self.packages
        }


def folder_of(package):
    return pathlib.Path(package["manifest_path"]).parent


def expression(package):
    # Cargo allowed a slash before SPDX's OR.
    return (package["license"] or "").replace("/", " OR ")


def bundled_of(package):
    """The C library inside a package: its name and version, or nothing."""
    if package["name"] not in BUNDLED:
        return None
    name, place, pattern = BUNDLED[package["name"]]
    for path in sorted(folder_of(package).glob(place)):
        found = re.findall(pattern, path.read_text(errors="replace"))
        if found:
            version = ".".join(found[:3]) if name == "zstd" else found[0]
            if name == "mimalloc":
                version = mimalloc_version(found[0])
            return name, version
    sys.exit(f"crates: {package['name']} holds {name} no longer where it was: {place}")


def mimalloc_version(number):
    """mimalloc 2.2.4 calls itself 224, and 3.3.2 30302."""
    if len(number) <= 3:
        return ".".join(number)
    return f"{int(number) // 10000}.{int(number) // 100 % 100}.{int(number) % 100}"


def sbom(tree):
    with open("Cargo.lock", "rb") as file:
        sums = {
            (package["name"], package["version"]): package.get("checksum")
            for package in tomllib.load(file)["package"]
        }
    commit, seconds = run("git", "log", "-1", "--format=%H %ct").split()
    references = {
        key: f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"
        for key, package in tree.packages.items()
    }

    def component(key, package):
        result = {
            "type": "application" if key == tree.root else "library",
            "bom-ref": references[key],
            "name": package["name"],
            "version": package["version"],
            "description": " ".join((package["description"] or "").split()),
            "licenses": [{"expression": expression(package)}],
            "purl": references[key],
        }
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            result["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package["repository"]:
            result["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        bundled = bundled_of(package)
        if bundled:
            name, version = bundled
            result["components"] = [
                {
                    "type": "library",
                    "bom-ref": f"pkg:generic/{name}@{version}",
                    "name": name,
                    "version": version,
                    "purl": f"pkg:generic/{name}@{version}",
                }
            ]
        return result

    described = {key: component(key, package) for key, package in tree.packages.items()}
    root = described.pop(tree.root)
    root["version"] = tree.packages[tree.root]["version"]
    root["properties"] = [{"name": "commit", "value": commit}]
    result = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, commit + root['version'])}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds))),
            "component": root,
        },
        "components": list(described.values()),
        "dependencies": [
            {"ref": references[key], "dependsOn": [references[need] for need in needs]}
            for key, needs in tree.needs.items()
        ],
    }
    json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
    print()


def texts_of(package):
    """Licence texts in a package: its own first, then those of what it brings as source."""
    folder = folder_of(package)
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.name.upper()
        if not path.is_file() or not name.startswith(LICENCE_NAMES) or path.suffix in (".rs", ".c", ".h", ".sh"):
            continue
        found.append((path.relative_to(folder), path.read_text(errors="replace")))
    found.sort(key=lambda item: (len(item[0].parts), str(item[0])))
    if found and len(found[0][0].parts) == 1:
        return found
    if "Apache-2.0" in expression(package):
        own = ("Apache-2.0", pathlib.Path("LICENSE-APACHE").read_text())
    elif "MIT" in expression(package):
        own = ("MIT", MIT.format(authors=", ".join(package["authors"]) or package["name"]))
    else:
        sys.exit(f"crates: no licence text for {package['name']}, which is under {expression(package)}")
    return [own, *found]


def standard_library():
    """The texts that come with the toolchain: Rust's standard library is linked in, too."""
    folder = pathlib.Path(run("rustc", "--print", "sysroot").strip()) / "share/doc/rust/licenses"
    names = ("MIT.txt", "Apache-2.0.txt")
    return [(name, (folder / name).read_text(errors="replace")) for name in names if (folder / name).is_file()]


def licences(tree):
    packages = [package for key, package in tree.packages.items() if key != tree.root]
    # Most crates come with one of a few texts; each is printed once, with the names of all.
    numbers = {}
    uses = []
    for package in packages:
        own = []
        for path, text in texts_of(package):
            lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
            own.append((str(path), numbers.setdefault(lines, len(numbers) + 1)))
        uses.append((package, own))
    library = [
        (name, numbers.setdefault("\n".join(line.rstrip() for line in text.strip().splitlines()), len(numbers) + 1))
        for name, text in standard_library()
    ]
    print("Software that is part of the vertex-bridge binary, and its licences.")
    print(f"{len(packages)} packages; each text stands once below, by the number in brackets.\n")
    for package, own in uses:
        print(f"{package['name']} {package['version']}: {expression(package)}")
        if package["authors"]:
            print(f"    by {', '.join(package['authors'])}")
        if package["repository"]:
            print(f"    {package['repository']}")
        bundled = bundled_of(package)
        if bundled:
            print(f"    brings {bundled[0]} {bundled[1]}")
        print("    " + ", ".join(f"{path} [{number}]" for path, number in own))
    print("the standard library of Rust: MIT OR Apache-2.0")
    if library:
        print("    " + ", ".join(f"{name} [{number}]" for name, number in library))
    for text, number in numbers.items():
        print(f"\n{'=' * 100}\n[{number}]\n\n{text}")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("sbom", "licences"):
        sys.exit(__doc__)
    tree = Tree(sys.argv[2])
    (sbom if sys.argv[1] == "sbom" else licences)(tree)


main()
