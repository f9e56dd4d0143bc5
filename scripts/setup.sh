# Sourced by the scripts beside it, with the name of an extra or nothing: makes .venv in the project's folder and
# installs the project there. What is done already is not done again. Sets root to the project's folder and python to
# its interpreter.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
extra=${1:-}
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV # the caller's Python must not reach into ours
unset PYTHONDONTWRITEBYTECODE                         # or each process would compile PyTorch's sources again: 5 s
export PYTHONNOUSERSITE=1

is_recent='import sys; sys.exit(sys.version_info < (3, 11))'

if ! "$python" -c "$is_recent" 2> /dev/null; then
    base=
    for name in python3 python3.13 python3.12 python3.11 python; do
        if command -v "$name" > /dev/null && "$name" -c "$is_recent" 2> /dev/null; then
            base=$name
            break
        fi
    done
    if [ -z "$base" ]; then
        found=$(python3 --version 2>&1 || true)
        echo "error: Python 3.11 or newer is needed on the PATH; python3 there says: $found" >&2
        exit 1
    fi
    if ! "$base" -m venv --clear "$root/.venv"; then
        rm -rf "$root/.venv"
        echo "error: $base could not make $root/.venv; on Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    fi
fi

# The folder is part of the stamp because an installed project is found by its path.
stamp=$root/.venv/installed${extra:+-$extra}
wanted="$root $(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
if [ "$(cat "$stamp" 2> /dev/null)" != "$wanted" ]; then
    echo "installing into $root/.venv: some minutes and 5 GB the first time" >&2
    pip=("$python" -m pip --disable-pip-version-check --no-input)
    what=(-c "$root/constraints.txt" -e "$root${extra:+[$extra]}")
    # uv takes a third of pip's time, but does not read pip's settings: not where they name an index of one's own, and
    # where it fails, pip goes on.
    settings=$("${pip[@]}" config list 2> /dev/null || true)
    if [[ $settings == *.index-url=* || $settings == *.no-index=* ]] ||
        ! { "${pip[@]}" install -c "$root/constraints.txt" uv &&
            UV_SYSTEM_CERTS=1 "$python" -m uv pip install --python "$python" "${what[@]}"; } &> /dev/null; then
        # Python compiles what is imported when it first is; all of it would take half a minute more.
        if ! "${pip[@]}" install -qq --no-compile "${what[@]}"; then
            echo "error: the installation failed, see above; run the same command again to go on" >&2
            exit 1
        fi
    fi
    echo "$wanted" | tee "$root/.venv/installed" > "$stamp" # with an extra, all the rest is there too
fi
