# Shared by install.sh and uninstall.sh: where everything lies, and how they speak. Sourced, never run.
# shellcheck shell=bash disable=SC2034

readonly PROGRAM=/opt/mfsa-edge
readonly BUNDLE=/opt/mfsa-edge/bundle
readonly LINKS=/usr/local/bin # on every account's path, sudo's too
readonly COMMANDS=(edge-setup edge-daemon edge-door edge-enroll edge-gallery edge-audit edge-bench edge-doctor edge-rehearse)
readonly SETTINGS=/etc/mfsa-edge
readonly CONFIG=/etc/mfsa-edge/terminal.yaml
readonly KEY=/etc/mfsa-edge/gallery.key
readonly STATE=/var/lib/mfsa-edge
readonly GALLERY=/var/lib/mfsa-edge/gallery.db
readonly DOOR_STATE=/var/lib/mfsa-door
readonly UNITS=/etc/systemd/system
readonly DROP_INS=/etc/systemd/system/edge-daemon.service.d
readonly SYSUSERS=/etc/sysusers.d/mfsa-edge.conf
readonly TMPFILES=/etc/tmpfiles.d/mfsa-edge.conf
readonly UDEV=/etc/udev/rules.d/60-mfsa-edge.rules
readonly SERVICES=(edge-daemon.service edge-door.service) # in the order in which they are stopped
readonly ENABLED=(edge-expire.timer "${SERVICES[@]}")     # what the machine starts by itself

root="" # staging root, empty on the machine itself
dry_run=no

say() { printf '%-11s %s\n' "$1" "$2"; }

warn() { printf '%s: warning: %s\n' "${0##*/}" "$1" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

wrong_usage() {
    printf '%s: %s\n\n' "${0##*/}" "$1" >&2
    usage >&2
    exit 2
}

dry() { [ "$dry_run" = yes ]; }

staged() { [ -n "$root" ]; }

has() { command -v "$1" >/dev/null 2>&1; }

# Whether systemd runs this machine: in a chroot or a container its files can be laid out, but nobody can be asked.
booted() { ! staged && [ -d /run/systemd/system ] && has systemctl; }

set_root() {
    [ -d "$1" ] || wrong_usage "--root: expected a folder, found none at $1; make it first"
    root=$(cd "$1" && pwd -P)
    [ "$root" != / ] || wrong_usage "--root: / is this machine itself; leave --root out"
}

check_root() {
    if dry || staged; then return; fi
    [ "$(id -u)" -eq 0 ] || die "expected to run as root, found the account $(id -un); run it with sudo, or look first with --dry-run"
}

# Run a command, or say that it would be run.
run() {
    if dry; then
        say "would run" "$*"
    else
        "$@" || die "this failed, see above: $*; mend what it says and run this again, what is done stays done"
        say "ran" "$*"
    fi
}
