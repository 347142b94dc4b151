#!/usr/bin/env bash
# Sets up a terminal: program, accounts, rights, units, configuration, keys of gallery and records. It starts nothing.
set -euo pipefail
umask 022 # what root installs here must be readable for the services' accounts

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=${here%/*}
# shellcheck source=systemd/lib.sh
. "$here/lib.sh"

readonly OLDEST_SYSTEMD=249 # JetPack 6
readonly KEY_BYTES=32
readonly SOURCES=(LICENSE README.md pyproject.toml calibration edge export train)
readonly STAMP=$PROGRAM/.installed # the extras and a digest of the sources that are installed

usage() {
    cat <<'END'
usage: sudo systemd/install.sh [options]

Sets up a terminal from this checkout. A second run changes nothing that is as it should be; your configuration and the
gallery's key are never overwritten. It starts nothing.

  --dry-run          say every step, change nothing; needs no root
  --extras WHICH     cpu (default) or jetson: TensorRT and OpenCV of JetPack, and its drop-in; see docs/jetson.md
  --bundle DIR       copy this model bundle, made by mfsa-bundle, to /opt/mfsa-edge/bundle
  --network-camera   install the drop-in for cameras on the network; put the camera's network into it
  --python PY        Python 3.10 or newer for the program (default: python3)
  --no-program       leave /opt/mfsa-edge alone: the program is there by other means
  --root DIR         lay the files out in a staging root, for images; needs --no-program
  --help             this text

example: sudo systemd/install.sh --bundle build/bundle
exit codes: 0 done, 1 refused or failed, 2 usage
END
}

extras=""
python=python3
bundle=""
bundle_known=3 # 0: the same bundle is installed
network_camera=no
with_program=yes
temp="" # what must not stay behind when a step fails
trap '[ -z "$temp" ] || rm -rf -- "$temp"' EXIT

while [ $# -gt 0 ]; do
    case $1 in
        --root | --extras | --python | --bundle)
            [ -n "${2-}" ] || wrong_usage "$1 needs a value"
            case $1 in
                --root) set_root "$2" ;;
                --extras) extras=$2 ;;
                --python) python=$2 ;;
                --bundle) bundle=$2 ;;
            esac
            shift
            ;;
        --dry-run) dry_run=yes ;;
        --network-camera) network_camera=yes ;;
        --no-program) with_program=no ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) wrong_usage "unknown option $1" ;;
    esac
    shift
done
case $extras in
    "" | cpu | jetson) ;;
    *) wrong_usage "--extras: expected cpu or jetson, found $extras" ;;
esac
if staged && [ "$with_program" = yes ]; then
    wrong_usage "--root needs --no-program: a virtual environment holds absolute paths; make it where it will run, at $PROGRAM"
fi

# Before anything is changed: what would stop the installation halfway.

check_systemd() {
    local version
    if staged; then
        say "skipped" "systemd's version: the image's own counts; $OLDEST_SYSTEMD or newer"
    elif ! has systemctl; then
        warn "expected systemd $OLDEST_SYSTEMD or newer, found no systemctl; the files are laid out, nothing can run the services"
    else
        version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
        [ "${version:-0}" -ge "$OLDEST_SYSTEMD" ] ||
            die "expected systemd $OLDEST_SYSTEMD or newer, found ${version:-an unknown one}; JetPack 6 and Ubuntu 22.04 have it"
    fi
}

# A rerun without --extras keeps what is there: pip's OpenCV must never land over JetPack's.
settle_extras() {
    local before="" rest
    if [ -f "$root$STAMP" ]; then
        read -r before rest <"$root$STAMP" || true
    elif [ -e "$root$DROP_INS/jetson.conf" ]; then
        before=jetson
    fi
    if [ "$with_program" = yes ] && [ -n "$extras" ] && [ -f "$root$STAMP" ] && [ "$extras" != "$before" ]; then
        die "expected --extras $before, with which $PROGRAM was installed, found $extras; run uninstall.sh first, it keeps your data"
    fi
    extras=${extras:-${before:-cpu}}
}

check_python() {
    local prefix
    if [ -x "$PROGRAM/bin/python" ]; then
        if [ "$extras" = jetson ] && ! grep -qs '^include-system-site-packages = true' "$PROGRAM/pyvenv.cfg"; then
            die "expected an environment at $PROGRAM that sees JetPack's packages, found one that does not; move it away and run this again"
        fi
        return
    fi
    has "$python" || die "expected Python 3.10 or newer, found no $python; install python3, or name one with --python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "expected Python 3.10 or newer, found $("$python" --version 2>&1); name another with --python"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "expected a Python with venv, found $python without; install it: apt install python3-venv"
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    case $prefix/ in
        /home/* | /root/* | /run/user/*)
            die "expected a Python of the system, found one in $prefix, where the services cannot look; name another with --python"
            ;;
    esac
}

check_stopped() {
    if booted && systemctl is-active --quiet "${SERVICES[@]}"; then
        die "expected edge-door and edge-daemon to be stopped while their program is replaced, found them running; \
the door is locked meanwhile: systemctl stop ${SERVICES[*]}"
    fi
}

# A Python with the standard library: it reads a delivered bundle without following links.
bundle_tool() {
    local interpreter=$python
    has "$interpreter" || interpreter=$PROGRAM/bin/python
    [ -x "$interpreter" ] || has "$interpreter" ||
        die "--bundle needs Python 3.10 or newer, found no $python; install python3, or name one with --python"
    (cd "$checkout" && "$interpreter" -B -m edge.cli.copy_bundle "$@")
}

# Root follows no link in a delivered bundle, and copies what its manifest lists, nothing else.
check_bundle() {
    local status=0
    [ -f "$bundle/manifest.json" ] ||
        die "--bundle: expected a folder with a manifest.json, found none in $bundle; make one: mfsa-bundle make $bundle"
    bundle=$(cd "$bundle" && pwd)
    bundle_tool same "$bundle" "$root$BUNDLE" || status=$?
    case $status in
        0 | 3) bundle_known=$status ;;
        *) die "--bundle: $bundle is refused, see above; nothing was changed" ;;
    esac
}

# A key that is there is left as it is; without one, a new key must not meet an old gallery.
check_key() {
    local found mode
    if [ -e "$root$KEY" ] || [ -L "$root$KEY" ]; then
        found=$(LC_ALL=C stat -L -c '%F, %s bytes' "$root$KEY" 2>/dev/null || echo "a link to nothing")
        [ "$found" = "regular file, $KEY_BYTES bytes" ] ||
            die "$KEY: expected a file of $KEY_BYTES bytes, found $found; restore the right one from your backup"
        mode=$(stat -L -c %a "$root$KEY")
        case $mode in
            600 | 400) ;;
            *) warn "$KEY: expected mode 600, found $mode: others may have read it; systemd-tmpfiles sets the mode, the doubt stays" ;;
        esac
    elif [ -e "$root$GALLERY" ]; then
        die "expected the gallery's key at $KEY, found none, but a gallery at $GALLERY: a new key cannot open it. \
Restore the key from your backup (without an installer it was made as $STATE/gallery.key), or, to enroll everybody anew, move $GALLERY* away"
    elif [ -d "$root$STATE" ] && [ ! -x "$root$STATE" ]; then
        say "unknown" "whether there is a gallery: this account cannot look into $STATE"
    fi
}

# The steps.

# A file, whole or not at all.
put() {
    local source=$here/$1 target=$2 mode=$3
    [ ! -L "$root$target" ] ||
        die "$target: expected a file, found a link to $(readlink "$root$target"); if it masks a unit: systemctl unmask, else remove it"
    if cmp -s "$source" "$root$target" && [ "$(stat -c %a "$root$target")" = "$mode" ]; then
        say "is there" "$target"
        return
    fi
    if dry; then
        say "would make" "$target"
        return
    fi
    mkdir -p "$root${target%/*}"
    temp=$(mktemp "$root${target%/*}/.mfsa-edge.XXXXXX")
    install -m "$mode" "$source" "$temp"
    mv -fT "$temp" "$root$target"
    temp=""
    say "made" "$target"
}

# A file that is yours to edit: never overwritten. What we would have put there is put beside it.
put_yours() {
    if [ ! -e "$root$2" ] || cmp -s "$here/$1" "$root$2"; then
        put "$1" "$2" "$3"
    else
        say "is there" "$2, with changes of yours"
        put "$1" "$2.sample" "$3"
    fi
}

fingerprint() {
    (cd "$checkout" && find "${SOURCES[@]}" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) |
        sha256sum | cut -c1-64
}

make_program() {
    local wanted
    if [ "$with_program" = no ]; then
        say "skipped" "$PROGRAM (--no-program)"
        staged || [ -x "$PROGRAM/bin/edge-door" ] || warn "expected the program at $PROGRAM/bin/edge-door, found none; the services need it"
        return
    fi
    wanted="$extras $(fingerprint)"
    if [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
        say "is there" "$PROGRAM (mfsa-edge[$extras])"
        return
    fi
    check_python
    check_stopped
    if dry; then
        say "would make" "$PROGRAM (mfsa-edge[$extras] from $checkout, by pip)"
        return
    fi
    rm -f "$STAMP"
    if [ ! -x "$PROGRAM/bin/python" ]; then
        if [ "$extras" = jetson ]; then
            "$python" -m venv --system-site-packages "$PROGRAM"
        else
            "$python" -m venv "$PROGRAM"
        fi
    fi
    # pycuda is compiled against JetPack's CUDA, and sudo's PATH does not have it.
    if [ "$extras" = jetson ] && ! has nvcc; then PATH=/usr/local/cuda/bin:$PATH; fi
    # From a copy: a build leaves files in its folder, and they would be root's.
    temp=$(mktemp -d)
    (cd "$checkout" && cp -R -- "${SOURCES[@]}" "$temp/")
    "$PROGRAM/bin/python" -m pip install --disable-pip-version-check "${temp}[$extras]" ||
        die "expected pip to install mfsa-edge[$extras], see above what it found; mend it and run this again"
    rm -rf -- "$temp"
    temp=""
    "$PROGRAM/bin/edge-door" --help >/dev/null || die "expected $PROGRAM/bin/edge-door to start, see above what it found"
    printf '%s\n' "$wanted" >"$STAMP"
    say "made" "$PROGRAM (mfsa-edge[$extras])"
}

# The commands by their bare names. A file of another program stays as it is.
link_commands() {
    local command link target
    for command in "${COMMANDS[@]}"; do
        link=$LINKS/$command target=$PROGRAM/bin/$command
        if [ "$(readlink "$root$link" 2>/dev/null)" = "$target" ]; then
            say "is there" "$link"
        elif [ -e "$root$link" ] || [ -L "$root$link" ]; then
            warn "$link: expected no file, found one of another program; use $target"
        elif dry; then
            say "would make" "$link"
        else
            mkdir -p "$root$LINKS"
            ln -sT "$target" "$root$link"
            say "made" "$link"
        fi
    done
}

# Engines built on this device are more files than the source has: that is no difference.
copy_bundle() {
    local note
    [ -n "$bundle" ] || return 0
    if [ "$bundle_known" = 0 ]; then
        say "is there" "$BUNDLE"
        return
    fi
    if dry; then
        say "would make" "$BUNDLE (a copy of $bundle)"
        return
    fi
    mkdir -p "$root$PROGRAM"
    temp=$(mktemp -d "$root$PROGRAM/.bundle.XXXXXX")
    note=$(bundle_tool copy "$bundle" "$temp") || die "--bundle: $bundle is refused, see above; nothing was copied"
    [ -z "$note" ] || warn "$note"
    chmod 755 "$temp"
    if [ -e "$root$BUNDLE" ]; then
        rm -rf -- "$root$BUNDLE.old"
        mv -T "$root$BUNDLE" "$root$BUNDLE.old"
        warn "$BUNDLE is another one now, the one before is $BUNDLE.old. A gallery belongs to its model: edge-doctor says if it fits"
    fi
    mv -T "$temp" "$root$BUNDLE"
    temp=""
    say "made" "$BUNDLE"
}

make_accounts() {
    put mfsa-edge.sysusers "$SYSUSERS" 644
    if staged; then
        say "skipped" "accounts; into the image: systemd-sysusers --root=$root"
    elif ! has systemd-sysusers; then
        warn "expected systemd-sysusers, found none; make the accounts that $SYSUSERS names"
    else
        run systemd-sysusers "$SYSUSERS"
        dry || getent passwd mfsa-door mfsa-edge >/dev/null ||
            die "expected the accounts mfsa-door and mfsa-edge, found one missing; look at $SYSUSERS"
    fi
}

# After the accounts: udev ignores a group that is not there.
give_pins() {
    local before
    before=$(cat "$root$UDEV" 2>/dev/null || true)
    put 60-mfsa-edge.rules "$UDEV" 644
    if staged; then
        say "skipped" "udevadm: the rule counts when the image boots"
    elif [ "$before" = "$(cat "$here/60-mfsa-edge.rules")" ]; then
        return
    elif ! booted || ! has udevadm; then
        say "skipped" "udevadm: the rule counts from the next start of the machine"
    else
        run udevadm control --reload
        run udevadm trigger --subsystem-match=gpio
    fi
}

put_units() {
    put edge-door.service "$UNITS/edge-door.service" 644
    put edge-daemon.service "$UNITS/edge-daemon.service" 644
    put edge-expire.service "$UNITS/edge-expire.service" 644
    put edge-expire.timer "$UNITS/edge-expire.timer" 644
    if [ "$extras" = jetson ]; then put drop-ins/jetson.conf "$DROP_INS/jetson.conf" 644; fi
    if [ "$network_camera" = yes ]; then put_yours drop-ins/network-camera.conf "$DROP_INS/network-camera.conf" 644; fi
}

make_key() {
    if [ -e "$root$KEY" ]; then
        say "is there" "$KEY"
        return
    fi
    if dry; then
        say "would make" "$KEY"
        return
    fi
    temp=$(mktemp "$root$SETTINGS/.gallery.key.XXXXXX") # for its owner alone from the start
    head -c "$KEY_BYTES" /dev/urandom >"$temp"
    [ "$(stat -c '%a %s' "$temp")" = "600 $KEY_BYTES" ] || die "$KEY: expected to write $KEY_BYTES bytes, found fewer; is the disk full?"
    sync "$temp"
    ln -T "$temp" "$root$KEY" || die "$KEY: expected no key yet, found one that was made meanwhile; run this again"
    rm -f -- "$temp"
    temp=""
    sync "$root$SETTINGS"
    say "made" "$KEY; keep a copy in a safe place, without it everybody must be enrolled anew"
    if staged; then
        warn "one key, one terminal: whoever has the image has the key. For more terminals delete it in the image and run this on each"
    fi
}

set_rights() {
    put mfsa-edge.tmpfiles "$TMPFILES" 644
    if staged; then
        say "skipped" "owners and modes: systemd-tmpfiles sets them when the image boots"
    elif ! has systemd-tmpfiles; then
        warn "expected systemd-tmpfiles, found none; make the folders that $TMPFILES names"
    else
        run systemd-tmpfiles --create "$TMPFILES"
    fi
}

# Before the processes start, so that they never hold a key older than the present one.
prepare_records() {
    if staged; then
        say "skipped" "keys of the records: run this again on the terminal, or the processes make keys of their own"
    elif [ ! -x "$PROGRAM/bin/edge-audit" ] && ! dry; then
        warn "expected $PROGRAM/bin/edge-audit, found none; until edge-audit init has run, the records' keys lie beside them"
    elif dry; then
        run "$PROGRAM/bin/edge-audit" init --config "$CONFIG"
    elif "$PROGRAM/bin/edge-audit" init --config "$CONFIG"; then
        say "made" "keys of the records, or there already; keep a copy of them in a safe place"
    else
        warn "expected edge-audit init to prepare the records, see above what it found; the door works without, and nobody can verify"
    fi
}

enable_services() {
    local service
    if staged; then
        say "skipped" "enabling; into the image: systemctl --root=$root enable ${ENABLED[*]}"
        return
    elif ! has systemctl; then
        return
    fi
    if booted; then run systemctl daemon-reload; fi
    for service in "${ENABLED[@]}"; do
        if systemctl is-enabled --quiet "$service" 2>/dev/null; then
            say "is there" "$service, enabled"
        else
            run systemctl enable --quiet "$service"
        fi
    done
}

check_root
settle_extras
check_systemd
if [ -n "$bundle" ]; then check_bundle; fi
check_key

make_program
link_commands
copy_bundle
make_accounts
give_pins
put_units
put_yours terminal.yaml "$CONFIG" 644
make_key
set_rights
prepare_records
enable_services

if dry; then
    printf '\nNothing was changed.\n'
    exit 0
fi
if [ "$network_camera" = yes ]; then
    printf "\nThe camera's own network belongs into %s.\n" "$DROP_INS/network-camera.conf"
fi
cat <<END

Nothing was started. Next:
  sudoedit $CONFIG
  sudo $PROGRAM/bin/edge-doctor --config $CONFIG
  sudo systemctl start edge-door edge-daemon edge-expire.timer
END
