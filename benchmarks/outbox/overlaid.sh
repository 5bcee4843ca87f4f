#!/bin/sh
# Lay the spike over a copy of the tree, and run something in it:
#     benchmarks/outbox/overlaid.sh pytest -q tests/property/test_reports.py
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
copy="$root/.stack/outbox"
mkdir -p "$copy"
for part in layers functions tests local operations benchmarks events docs pyproject.toml template.yaml requirements; do
  rm -rf "${copy:?}/$part"
  cp -r "$root/$part" "$copy/$part"
done
for over in ${OVER:-overlay}; do cp -r "$root/benchmarks/outbox/$over/." "$copy/"; done
ln -sfn "$root/.venv-tools" "$copy/.venv-tools"
ln -sfn "$root/.venv" "$copy/.venv"
cp "$root/samconfig.toml" "$copy/"
cd "$copy"
PATH="$root/.venv/bin:$PATH" exec "$@"
