#!/usr/bin/env bash
# Transcribes the samples that ship with the package, or the files given:
#   bash scripts/demo.sh [FILE ...] [bundle=FOLDER]
# The first run makes .venv; it needs Python 3.11 or newer and nothing else.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" ""
exec "$python" "$root/scripts/demo.py" "$@"
