#!/usr/bin/env bash
# Fetches the chat templates against which rendering is compared (tests/reference.rs of groma-chat).
#
# They come out of the TRL wheel, which is pinned by version and digest; the project holds only what transformers renders
# from them. Prints the directory to give to the tests:
#
#     GROMA_CHAT_TEMPLATES="$(scripts/fetch_chat_templates.sh)" cargo test --release -p groma-chat --test reference
set -euo pipefail

version=1.16.0
digest=c4726e139dd40e1a41661511c639c8a68416782b2e3e8c0befebd77bb7ba0396
target="${1:-$(cd "$(dirname "$0")/.." && pwd)/target/chat-templates}"
templates="$target/trl-$version/trl/chat_templates"

if [ ! -d "$templates" ]; then
    mkdir -p "$target"
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$target" "trl==$version" >&2
    wheel="$target/trl-$version-py3-none-any.whl"
    echo "$digest  $wheel" | sha256sum --check --quiet >&2
    python3 -m zipfile -e "$wheel" "$target/trl-$version.partial"
    mv "$target/trl-$version.partial" "$target/trl-$version"
fi
echo "$templates"
