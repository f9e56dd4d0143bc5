#!/usr/bin/env bash
# Checks everything: lint, format, types, and the whole test suite, to which further arguments go:
#   bash scripts/test.sh [-k NAME ...]
# The first run makes .venv; it needs Python 3.11 or newer and nothing else.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" test
cd "$root"

# Beside the checks: both processes of the tests would compile the beam search, and what librosa compiles, at once.
{
    "$python" -m speechlstm transcribe speechlstm/data/samples/stop.flac bundle=small decoder=beam trainer=cpu
    "$python" -c "import librosa.display"
} &> /dev/null &
failed=()
"$python" -m ruff check . || failed+=("ruff check")
"$python" -m ruff format --check . || failed+=("ruff format")
"$python" -m mypy || failed+=(mypy)
wait # its status does not matter: tests find what is wrong with it
# Two processes with a thread each: torch's own threads would only fight over the cores.
status=0
OMP_NUM_THREADS=1 "$python" -m pytest -n 2 "$@" || status=$?

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed before the tests, see above: %s\n' "${failed[@]}" >&2
    exit 1
fi
exit "$status"
