#!/usr/bin/env bash
# Builds sdist and wheel, checks their metadata and content, installs the wheel alone in a fresh environment, and from that makes the
# software bill of materials (CycloneDX) and looks for known vulnerabilities (pip-audit; it asks the package index).
# Usage: scripts/check_package.sh [FOLDER]: where sdist, wheel and sbom.cdx.json go; default dist.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-dist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build twine check-wheel-contents pyroma cyclonedx-bom pip-audit
"$work/tools/bin/python" -m build --outdir "$out" .
"$work/tools/bin/twine" check --strict "$out"/*.whl "$out"/*.tar.gz
"$work/tools/bin/check-wheel-contents" --toplevel unshaken,unshaken_papers "$out"/*.whl
# Its authors are a group, without an address.
"$work/tools/bin/pyroma" --min 9 --skip-tests AuthorEmail "$out"/*.tar.gz

python3 -m venv "$work/user"
"$work/user/bin/pip" install --quiet "$out"/*.whl
"$work/user/bin/unshaken" --version

"$work/tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
  --output-file "$out/sbom.cdx.json" "$work/user/bin/python"
# Strict: a package of which nothing is known (an index without such data) is a failure, not a pass.
"$work/user/bin/pip" freeze --exclude unshaken >"$work/installed.txt"
"$work/tools/bin/pip-audit" --strict --no-deps --disable-pip --requirement "$work/installed.txt"
