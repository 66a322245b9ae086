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
"$work/tools/bin/pip" install --quiet build twine check-wheel-contents pyroma cyclonedx-bom pip-audit towncrier
# The fragments of the changelog, as the next release would print them.
"$work/tools/bin/towncrier" build --draft --version next
"$work/tools/bin/python" -m build --outdir "$out" .
"$work/tools/bin/twine" check --strict "$out"/*.whl "$out"/*.tar.gz
"$work/tools/bin/check-wheel-contents" --toplevel unshaken,unshaken_papers,unshaken_start.py "$out"/*.whl
# Its authors are a group, without an address.
"$work/tools/bin/pyroma" --min 9 --skip-tests AuthorEmail "$out"/*.tar.gz

# Without pip, which is no part of the package: neither its bill nor its faults.
python3 -m venv --without-pip "$work/user"
pip=("$work/tools/bin/pip" --python "$work/user/bin/python")
"${pip[@]}" install --quiet "$out"/*.whl
"$work/user/bin/unshaken" --version

"$work/tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
  --output-file "$out/sbom.cdx.json" "$work/user/bin/python"
# A package of which nothing is known is a failure, not a pass. A mirror can lack this knowledge of all packages: that is
# said in a line, and is a failure only where CI is set.
"${pip[@]}" list --format freeze --exclude unshaken | sed 's/+.*//' >"$work/installed.txt"
"$work/tools/bin/pip-audit" --no-deps --disable-pip --requirement "$work/installed.txt" --format json >"$work/audit.json" \
  || { cat "$work/audit.json" && exit 1; }
unknown=$(grep -o '"skip_reason"' "$work/audit.json" | wc -l || true)
if [ "$unknown" = "$(wc -l <"$work/installed.txt")" ]; then
  echo "vulnerabilities: not looked for, as the package index knows nothing of any package" >&2
  [ -z "${CI:-}" ]
elif [ "$unknown" != 0 ]; then
  cat "$work/audit.json" && exit 1
fi
