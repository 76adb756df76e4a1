#!/usr/bin/env bash
# Runs every command of docs/tutorial.md in an empty directory: tutorial.sh GROMA. A command that fails ends it.
set -euo pipefail
page="$(cd "$(dirname "$0")/.." && pwd)/docs/tutorial.md"
groma="$(realpath "$1")"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
mkdir "$place/bin" "$place/a stranger"
ln -s "$groma" "$place/bin/groma"
PATH="$place/bin:$PATH"
cd "$place/a stranger"
commands=0
while IFS= read -r command; do
  printf '\n$ %s\n' "$command"
  bash -c "set -euo pipefail; $command" </dev/null
  commands=$((commands + 1))
done < <(sed -n 's/^\$ //p' "$page")
printf '\n%s commands of the tutorial ran\n' "$commands"
test "$commands" -ge 10
