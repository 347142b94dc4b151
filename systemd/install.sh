#!/usr/bin/env bash
# Installs a terminal: program, accounts, rights, units, configuration, keys. It starts nothing.
set -euo pipefail
umask 022 # the services' accounts must read what root installs

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=${here%/*}
# shellcheck source=systemd/lib.sh
. "$here/lib.sh"

readonly OLDEST_SYSTEMD=249 # in JetPack 6
readonly KEY_BYTES=32
readonly SOURCES=(LICENSE README.md pyproject.toml calibration edge export train)
readonly STAMP=$PROGRAM/.installed # installed extras, and digest of the sources

usage() {
    cat <<'END'
usage: sudo systemd/install.sh [options]

Install a terminal from this checkout. A second run changes only what differs. The configuration
and the gallery's key are never overwritten. Nothing is started.

  --dry-run          print every step, change nothing; needs no root
  --extras WHICH     cpu (default), or jetson for TensorRT and OpenCV of JetPack with the drop-in;
                     see docs/jetson.md. After a comma: readers for OSDP and Wiegand, console for
                     the web pages, mqtt for messages of the console to a broker, such as
                     cpu,readers,console. A later run adds them
  --bundle DIR       copy this model bundle, made by mfsa-bundle, to /opt/mfsa-edge/bundle
  --kiosk            install the unit of the browser on the terminal's display; docs/kiosk.md
  --network-camera   install the drop-in for network cameras; enter the camera's network in it
  --python PY        Python 3.10 or newer for the program (default: python3)
  --no-program       do not install the program: /opt/mfsa-edge is provided by other means
  --root DIR         install into a staging root, for images; needs --no-program
  --help             show this text

example: sudo systemd/install.sh --bundle build/bundle
exit codes: 0 done, 1 refused or failed, 2 usage
END
}

extras=""
python=python3
bundle=""
bundle_known=3 # 0: this bundle is installed already
network_camera=no
kiosk=no
with_program=yes
temp="" # removed when a step fails
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
        --kiosk) kiosk=yes ;;
        --no-program) with_program=no ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) wrong_usage "unknown option $1" ;;
    esac
    shift
done
# Check the words of --extras: at most one of cpu and jetson, and additions.
check_extras() {
    local word base=""
    for word in ${extras//,/ }; do
        case $word in
            cpu | jetson)
                [ -z "$base" ] || wrong_usage "--extras: expected cpu or jetson, found both"
                base=$word
                ;;
            readers | console | mqtt) ;;
            *) wrong_usage "--extras: expected cpu, jetson, readers, console and mqtt with commas between them, found $extras" ;;
        esac
    done
}
check_extras
if staged && [ "$with_program" = yes ]; then
    wrong_usage "--root needs --no-program: a virtual environment has absolute paths; create it on the target, at $PROGRAM"
fi

# Checks before anything is changed.

check_systemd() {
    local version
    if staged; then
        say "skipped" "systemd's version: the image needs $OLDEST_SYSTEMD or newer"
    elif ! has systemctl; then
        warn "no systemctl found, expected systemd $OLDEST_SYSTEMD or newer; the files are installed, the services cannot run"
    else
        version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
        [ "${version:-0}" -ge "$OLDEST_SYSTEMD" ] ||
            die "expected systemd $OLDEST_SYSTEMD or newer, found ${version:-an unknown version}; use JetPack 6 or Ubuntu 22.04"
    fi
}

# True if a list with commas has a word.
includes() { [[ ,$1, == *,$2,* ]]; }

# A rerun without --extras keeps the installed extras: pip's OpenCV must not replace JetPack's.
settle_extras() {
    local before="" rest
    if [ -f "$root$STAMP" ]; then
        read -r before rest <"$root$STAMP" || true
    elif [ -e "$root$DROP_INS/jetson.conf" ]; then
        before=jetson
    fi
    local wanted=$extras base="" addition
    for base in jetson cpu ""; do
        if [ -z "$base" ] || includes "$wanted" "$base"; then break; fi
    done
    if [ "$with_program" = yes ] && [ -n "$base" ] && [ -f "$root$STAMP" ] && [ "$base" != "${before%%,*}" ]; then
        die "--extras $extras: $PROGRAM was installed with ${before%%,*}; run uninstall.sh first, it keeps your data"
    fi
    extras=${base:-${before%%,*}}
    extras=${extras:-cpu}
    if includes "$wanted,$before" mqtt; then wanted=$wanted,console; fi
    for addition in readers console mqtt; do
        if includes "$wanted,$before" "$addition"; then extras=$extras,$addition; fi
    done
}

check_python() {
    local prefix
    if [ -x "$PROGRAM/bin/python" ]; then
        if includes "$extras" jetson && ! grep -qs '^include-system-site-packages = true' "$PROGRAM/pyvenv.cfg"; then
            die "$PROGRAM: the environment has no access to JetPack's packages; move it away and run this again"
        fi
        return
    fi
    has "$python" || die "no $python found, expected Python 3.10 or newer; install python3, or name one with --python"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "expected Python 3.10 or newer, found $("$python" --version 2>&1); name another with --python"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python has no venv module; install it: apt install python3-venv"
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    case $prefix/ in
        /home/* | /root/* | /run/user/*)
            die "Python in $prefix is not accessible to the services; name a Python of the system with --python"
            ;;
    esac
}

check_stopped() {
    local units=("${SERVICES[@]}" "${TEMPLATES[@]/@/@*}" "$CONSOLE")
    if booted && systemctl is-active --quiet "${units[@]}"; then
        die "a service is running, stop them all first (this locks the door): \
systemctl stop ${units[*]@Q}"
    fi
}

# Reads a delivered bundle without following links, with Python's standard library.
bundle_tool() {
    local interpreter=$python
    has "$interpreter" || interpreter=$PROGRAM/bin/python
    [ -x "$interpreter" ] || has "$interpreter" ||
        die "--bundle needs Python 3.10 or newer, found no $python; install python3, or name one with --python"
    (cd "$checkout" && "$interpreter" -B -m edge.cli.copy_bundle "$@")
}

# Root follows no link in a delivered bundle, and copies only the files in its manifest.
check_bundle() {
    local status=0
    [ -f "$bundle/manifest.json" ] ||
        die "--bundle: no manifest.json in $bundle; make a bundle: mfsa-bundle make $bundle"
    bundle=$(cd "$bundle" && pwd)
    bundle_tool same "$bundle" "$root$BUNDLE" || status=$?
    case $status in
        0 | 3) bundle_known=$status ;;
        *) die "--bundle: $bundle refused: see above; nothing was changed" ;;
    esac
}

# An existing key is kept. A new key would make an existing gallery unreadable.
check_key() {
    local found mode
    if [ -e "$root$KEY" ] || [ -L "$root$KEY" ]; then
        found=$(LC_ALL=C stat -L -c '%F, %s bytes' "$root$KEY" 2>/dev/null || echo "a link to nothing")
        [ "$found" = "regular file, $KEY_BYTES bytes" ] ||
            die "$KEY: expected a file of $KEY_BYTES bytes, found $found; restore the right key from your backup"
        mode=$(stat -L -c %a "$root$KEY")
        case $mode in
            600 | 400) ;;
            *) warn "$KEY: expected mode 600, found $mode: other accounts may have read it; systemd-tmpfiles corrects the mode" ;;
        esac
    elif [ -e "$root$GALLERY" ]; then
        die "$KEY is missing, and $GALLERY needs it. Restore the key from your backup (without an installer \
it was made as $STATE/gallery.key), or move $GALLERY* away and enroll all people again"
    elif [ -d "$root$STATE" ] && [ ! -x "$root$STATE" ]; then
        say "unknown" "if there is a gallery: this account has no access to $STATE"
    fi
}

# Steps.

# Install a file atomically.
put() {
    local source=$here/$1 target=$2 mode=$3
    [ ! -L "$root$target" ] ||
        die "$target: expected a file, found a link to $(readlink "$root$target"); unmask the unit: systemctl unmask, or remove the link"
    if cmp -s "$source" "$root$target" && [ "$(stat -c %a "$root$target")" = "$mode" ]; then
        say "unchanged" "$target"
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

# Install a file that the operator edits. A changed one is kept, the new one is named .sample.
put_editable() {
    if [ ! -e "$root$2" ] || cmp -s "$here/$1" "$root$2"; then
        put "$1" "$2" "$3"
    else
        say "unchanged" "$2, changed by the operator"
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
        say "skipped" "$PROGRAM (--no-program); it needs mfsa-edge[$extras]"
        staged || [ -x "$PROGRAM/bin/edge-door" ] || warn "$PROGRAM/bin/edge-door is missing; the services need it"
        return
    fi
    wanted="$extras $(fingerprint)"
    if [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
        say "unchanged" "$PROGRAM (mfsa-edge[$extras])"
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
        if includes "$extras" jetson; then
            "$python" -m venv --system-site-packages "$PROGRAM"
        else
            "$python" -m venv "$PROGRAM"
        fi
    fi
    # pycuda is compiled against JetPack's CUDA, and sudo's PATH does not have it.
    if includes "$extras" jetson && ! has nvcc; then PATH=/usr/local/cuda/bin:$PATH; fi
    # Build from a copy: the build writes files as root into its folder.
    temp=$(mktemp -d)
    (cd "$checkout" && cp -R -- "${SOURCES[@]}" "$temp/")
    "$PROGRAM/bin/python" -m pip install --disable-pip-version-check "${temp}[$extras]" ||
        die "pip could not install mfsa-edge[$extras]: see above; fix it and run this again"
    rm -rf -- "$temp"
    temp=""
    "$PROGRAM/bin/edge-door" --help >/dev/null || die "$PROGRAM/bin/edge-door does not start: see above"
    printf '%s\n' "$wanted" >"$STAMP"
    say "made" "$PROGRAM (mfsa-edge[$extras])"
}

# Link the commands into the PATH. Files of other programs are kept.
link_commands() {
    local command link target
    for command in "${COMMANDS[@]}"; do
        link=$LINKS/$command target=$PROGRAM/bin/$command
        if [ "$(readlink "$root$link" 2>/dev/null)" = "$target" ]; then
            say "unchanged" "$link"
        elif [ -e "$root$link" ] || [ -L "$root$link" ]; then
            warn "$link: belongs to another program and is kept; use $target"
        elif dry; then
            say "would make" "$link"
        else
            mkdir -p "$root$LINKS"
            ln -sT "$target" "$root$link"
            say "made" "$link"
        fi
    done
}

# Engines built on this device do not count as a difference.
copy_bundle() {
    local note
    [ -n "$bundle" ] || return 0
    if [ "$bundle_known" = 0 ]; then
        say "unchanged" "$BUNDLE"
        return
    fi
    if dry; then
        say "would make" "$BUNDLE (a copy of $bundle)"
        return
    fi
    mkdir -p "$root$PROGRAM"
    temp=$(mktemp -d "$root$PROGRAM/.bundle.XXXXXX")
    note=$(bundle_tool copy "$bundle" "$temp") || die "--bundle: $bundle refused: see above; nothing was copied"
    [ -z "$note" ] || warn "$note"
    chmod 755 "$temp"
    if [ -e "$root$BUNDLE" ]; then
        rm -rf -- "$root$BUNDLE.old"
        mv -T "$root$BUNDLE" "$root$BUNDLE.old"
        warn "$BUNDLE was replaced, the previous bundle is $BUNDLE.old. Check with edge-doctor if the gallery fits the model"
    fi
    mv -T "$temp" "$root$BUNDLE"
    temp=""
    say "made" "$BUNDLE"
}

make_accounts() {
    put mfsa-edge.sysusers "$SYSUSERS" 644
    if includes "$extras" console; then put mfsa-console.sysusers "$CONSOLE_SYSUSERS" 644; fi
    if [ "$kiosk" = yes ]; then put mfsa-kiosk.sysusers "$KIOSK_SYSUSERS" 644; fi
    if staged; then
        say "skipped" "accounts; for the image: systemd-sysusers --root=$root"
    elif ! has systemd-sysusers; then
        warn "no systemd-sysusers found; create the accounts in $SYSUSERS"
    else
        run systemd-sysusers "$SYSUSERS"
        if includes "$extras" console; then run systemd-sysusers "$CONSOLE_SYSUSERS"; fi
        if [ "$kiosk" = yes ]; then run systemd-sysusers "$KIOSK_SYSUSERS"; fi
        dry || getent passwd mfsa-door mfsa-edge >/dev/null ||
            die "account mfsa-door or mfsa-edge is missing after systemd-sysusers; see $SYSUSERS"
    fi
}

# After the accounts: udev ignores an unknown group.
install_udev_rule() {
    local before
    before=$(cat "$root$UDEV" 2>/dev/null || true)
    put 60-mfsa-edge.rules "$UDEV" 644
    if staged; then
        say "skipped" "udevadm: the rule applies when the image boots"
    elif [ "$before" = "$(cat "$here/60-mfsa-edge.rules")" ]; then
        return
    elif ! booted || ! has udevadm; then
        say "skipped" "udevadm: the rule applies from the next boot"
    else
        run udevadm control --reload
        run udevadm trigger --subsystem-match=gpio
    fi
}

put_units() {
    put edge-door.service "$UNITS/edge-door.service" 644
    put edge-daemon.service "$UNITS/edge-daemon.service" 644
    put edge-door@.service "$UNITS/edge-door@.service" 644
    put edge-daemon@.service "$UNITS/edge-daemon@.service" 644
    put edge-expire.service "$UNITS/edge-expire.service" 644
    put edge-expire.timer "$UNITS/edge-expire.timer" 644
    if includes "$extras" console; then
        put "$CONSOLE" "$UNITS/$CONSOLE" 644
        put edge-people.socket "$UNITS/edge-people.socket" 644
        put edge-people@.service "$UNITS/edge-people@.service" 644
    fi
    if [ "$kiosk" = yes ]; then put "$KIOSK" "$UNITS/$KIOSK" 644; fi
    local folder
    for folder in "$DROP_INS" "$LANE_DROP_INS"; do
        if includes "$extras" jetson; then put drop-ins/jetson.conf "$folder/jetson.conf" 644; fi
        if [ "$network_camera" = yes ]; then put_editable drop-ins/network-camera.conf "$folder/network-camera.conf" 644; fi
    done
}

make_key() {
    if [ -e "$root$KEY" ]; then
        say "unchanged" "$KEY"
        return
    fi
    if dry; then
        say "would make" "$KEY"
        return
    fi
    temp=$(mktemp "$root$SETTINGS/.gallery.key.XXXXXX") # readable for root alone from the start
    head -c "$KEY_BYTES" /dev/urandom >"$temp"
    [ "$(stat -c '%a %s' "$temp")" = "600 $KEY_BYTES" ] || die "$KEY: $KEY_BYTES bytes could not be written; is the disk full?"
    sync "$temp"
    ln -T "$temp" "$root$KEY" || die "$KEY: was created by another process; run this again"
    rm -f -- "$temp"
    temp=""
    sync "$root$SETTINGS"
    say "made" "$KEY; keep a copy in a safe place: without it all people must be enrolled again"
    if staged; then
        warn "the image contains the key. For several terminals delete it in the image and run this on each terminal"
    fi
}

set_rights() {
    put mfsa-edge.tmpfiles "$TMPFILES" 644
    if includes "$extras" console; then put mfsa-console.tmpfiles "$CONSOLE_TMPFILES" 644; fi
    if staged; then
        say "skipped" "owners and modes: systemd-tmpfiles sets them at boot"
    elif ! has systemd-tmpfiles; then
        warn "no systemd-tmpfiles found; create the folders in $TMPFILES"
    else
        run systemd-tmpfiles --create "$TMPFILES"
        if includes "$extras" console; then run systemd-tmpfiles --create "$CONSOLE_TMPFILES"; fi
    fi
}

# Before the processes start: they never hold a key older than the current one.
provision_audit_logs() {
    if staged; then
        say "skipped" "keys of the audit logs: run this again on the terminal, else the processes create their own"
    elif [ ! -x "$PROGRAM/bin/edge-audit" ] && ! dry; then
        warn "$PROGRAM/bin/edge-audit is missing; run edge-audit init, else each key is stored next to its log"
    elif dry; then
        run "$PROGRAM/bin/edge-audit" init --config "$CONFIG"
    elif "$PROGRAM/bin/edge-audit" init --config "$CONFIG"; then
        say "made" "keys of the audit logs, unless they existed; keep a copy of them in a safe place"
    else
        warn "edge-audit init failed: see above; the door works, but its audit log cannot be verified"
    fi
}

# With enabled instances of lanes, services that the operator disabled stay so.
enable_services() {
    local service wanted=("${ENABLED[@]}")
    if [[ $(enabled_services) == *@* ]]; then
        wanted=(edge-expire.timer)
        say "unchanged" "services of lanes, enabled: $(enabled_services | paste -sd ' ')"
    fi
    if includes "$extras" console; then wanted+=("$CONSOLE"); fi
    if staged; then
        say "skipped" "enabling; for the image: systemctl --root=$root enable ${wanted[*]}"
        return
    elif ! has systemctl; then
        return
    fi
    if booted; then run systemctl daemon-reload; fi
    for service in "${wanted[@]}"; do
        if systemctl is-enabled --quiet "$service" 2>/dev/null; then
            say "unchanged" "$service, enabled"
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
install_udev_rule
put_units
put_editable terminal.yaml "$CONFIG" 644
make_key
set_rights
provision_audit_logs
enable_services

if dry; then
    printf '\nNothing was changed.\n'
    exit 0
fi
if [ "$network_camera" = yes ]; then
    printf "\nEnter the camera's network in %s, for lanes in %s.\n" \
        "$DROP_INS/network-camera.conf" "$LANE_DROP_INS/network-camera.conf"
fi
started=$(enabled_services | LC_ALL=C sort -r | paste -sd ' ') # doors first
cat <<END

Nothing was started. Next:
  sudoedit $CONFIG
  sudo $PROGRAM/bin/edge-doctor --config $CONFIG
  sudo systemctl start ${started:-edge-door.service edge-daemon.service} edge-expire.timer
END
if includes "$extras" console; then
    printf '  sudo systemctl start %s\n  sudo edge-console first-login --config %s\n' "$CONSOLE" "$CONFIG"
fi
if [ "$kiosk" = yes ]; then
    printf '  sudo apt install cage xwayland seatd chromium fonts-noto-cjk\n  sudo systemctl enable --now seatd %s\n' "$KIOSK"
fi
