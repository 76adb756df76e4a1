#!/usr/bin/env bash
# A stranger's hour: runs every command of docs/tutorial.md in an empty directory, and kills and resumes a training.
# tutorial.sh GROMA. A command that fails ends it.
set -euo pipefail
scripts="$(cd "$(dirname "$0")" && pwd)"
page="$scripts/../docs/tutorial.md"
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
test "$commands" -ge 14

# The results are read by lm-evaluation-harness's own code, of which that part needs no PyTorch.
packages=(numpy requests pyyaml jinja2 pytablewriter)
if python3 -m venv "$place/harness" && "$place/harness/bin/pip" install --quiet --no-deps lm_eval==0.4.13 &&
  "$place/harness/bin/pip" install --quiet "${packages[@]}"; then
  "$place/harness/bin/python" "$scripts/read_by_lm_eval.py" results
else
  echo "SKIPPED: lm-evaluation-harness cannot be installed here, so that nobody but groma read the results"
fi

# A training that is killed goes on to the bits of one that nobody disturbed.
train=(groma train sft --model village/model --data village/train/dialogues.jsonl --set max_steps=40 --set save_steps=5
  --set learning_rate=1e-3 --output)
"${train[@]}" undisturbed
"${train[@]}" killed & training=$!
until ls killed.checkpoints/*/state.json >/dev/null 2>&1 || ! kill -0 "$training" 2>/dev/null; do sleep 0.05; done
kill -9 "$training" 2>/dev/null || true
wait "$training" || true
test -d killed || "${train[@]}" killed
cmp undisturbed/model.safetensors killed/model.safetensors
echo "killed and resumed: the same bits"
