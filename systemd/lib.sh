# Shared by install.sh and uninstall.sh: paths, output and checks. Sourced, never run.
# shellcheck shell=bash disable=SC2034

readonly PROGRAM=/opt/mfsa-edge
readonly BUNDLE=/opt/mfsa-edge/bundle
readonly LINKS=/usr/local/bin # in the PATH of every account and of sudo
readonly COMMANDS=(edge-setup edge-daemon edge-door edge-enroll edge-gallery edge-audit edge-bench edge-doctor edge-rehearse edge-console edge-people)
readonly SETTINGS=/etc/mfsa-edge
readonly CONFIG=/etc/mfsa-edge/terminal.yaml
readonly KEY=/etc/mfsa-edge/gallery.key
readonly STATE=/var/lib/mfsa-edge
readonly GALLERY=/var/lib/mfsa-edge/gallery.db
readonly DOOR_STATE=/var/lib/mfsa-door
readonly CONSOLE_STATE=/var/lib/mfsa-console
readonly UNITS=/etc/systemd/system
readonly DROP_INS=/etc/systemd/system/edge-daemon.service.d
readonly LANE_DROP_INS=/etc/systemd/system/edge-daemon@.service.d
readonly SYSUSERS=/etc/sysusers.d/mfsa-edge.conf
readonly TMPFILES=/etc/tmpfiles.d/mfsa-edge.conf
# Only with --kiosk.
readonly KIOSK=edge-kiosk.service
readonly KIOSK_SYSUSERS=/etc/sysusers.d/mfsa-kiosk.conf
# Only with the extra `console`.
readonly CONSOLE=edge-console.service
readonly PEOPLE=edge-people.socket # started by the operator, for the console
readonly CONSOLE_SYSUSERS=/etc/sysusers.d/mfsa-console.conf
readonly CONSOLE_TMPFILES=/etc/tmpfiles.d/mfsa-console.conf
readonly UDEV=/etc/udev/rules.d/60-mfsa-edge.rules
readonly SERVICES=(edge-daemon.service edge-door.service) # in the order of stopping
readonly TEMPLATES=(edge-daemon@.service edge-door@.service) # one instance for each lane and door
readonly ENABLED=(edge-expire.timer "${SERVICES[@]}")     # started at boot

root="" # staging root, empty on the machine itself
dry_run=no

say() { printf '%-12s %s\n' "$1" "$2"; }

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

# True if systemd runs this machine; in a chroot or container files are installed only.
booted() { ! staged && [ -d /run/systemd/system ] && has systemctl; }

set_root() {
    [ -d "$1" ] || wrong_usage "--root: expected a folder, found none at $1; make it first"
    root=$(cd "$1" && pwd -P)
    [ "$root" != / ] || wrong_usage "--root: / is this machine itself; omit --root"
}

check_root() {
    if dry || staged; then return; fi
    [ "$(id -u)" -eq 0 ] || die "must run as root, found the account $(id -un); use sudo, or --dry-run to see the steps"
}

# Enabled services and instances of lanes, in the order of stopping.
enabled_services() {
    local folder=$root$UNITS/multi-user.target.wants
    [ -d "$folder" ] || return 0
    find "$folder" \( -name 'edge-daemon*.service' -o -name 'edge-door*.service' \) -printf '%f\n' | LC_ALL=C sort
}

# Run a command; with --dry-run, print it.
run() {
    if dry; then
        say "would run" "$*"
    else
        "$@" || die "failed: $*: see above; fix it and run this script again, finished steps are kept"
        say "ran" "$*"
    fi
}
