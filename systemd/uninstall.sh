#!/usr/bin/env bash
# Removes a terminal's program and units; configuration, keys, gallery and audit logs with --purge.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=systemd/lib.sh
. "$here/lib.sh"

usage() {
    cat <<'END'
usage: sudo systemd/uninstall.sh [options]

Stop and remove the services and the program; this locks the door. Kept are the configuration and
the keys in /etc/mfsa-edge, gallery, audit logs and users of the console in /var/lib/mfsa-edge,
/var/lib/mfsa-door and /var/lib/mfsa-console, the model bundle, and the accounts that own them.

  --dry-run    print every step, change nothing; needs no root
  --purge      remove these too. On flash, deleting is not secure erasure: blocks may stay readable
               until they are reused, also those of the key. Templates and pictures are encrypted
               and unreadable without the key; audit logs are not encrypted. Encrypt the disk
               before use, or destroy it
  --yes        do not ask before --purge; required if there is no terminal for the question
  --root DIR   work in a staging root, for images
  --help       show this text

example: sudo systemd/uninstall.sh --dry-run
exit codes: 0 done, 1 refused or failed, 2 usage
END
}

purge=no
yes=no

while [ $# -gt 0 ]; do
    case $1 in
        --root)
            [ -n "${2-}" ] || wrong_usage "$1 needs a value"
            set_root "$2"
            shift
            ;;
        --dry-run) dry_run=yes ;;
        --purge) purge=yes ;;
        --yes) yes=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) wrong_usage "unknown option $1" ;;
    esac
    shift
done

confirm() {
    local answer=""
    if [ "$purge" = no ] || [ "$yes" = yes ] || dry; then return; fi
    [ -t 0 ] || wrong_usage "--purge: needs --yes if there is no terminal; it erases key, gallery and audit logs for good"
    printf 'This erases configuration, keys, gallery, audit logs and pictures for good. Type "erase" to continue: '
    read -r answer || true
    [ "$answer" = erase ] || die 'expected "erase", found another answer; nothing was changed'
}

remove() {
    local path
    for path in "$@"; do
        if [ ! -e "$root$path" ] && [ ! -L "$root$path" ]; then
            say "not there" "$path"
        elif dry; then
            say "would remove" "$path"
        elif rm -rf --one-file-system -- "$root${path:?}"; then
            say "removed" "$path"
        else
            warn "$path: could not be removed: see above; remove it manually"
        fi
    done
}

stop_services() {
    local service
    if staged; then
        say "skipped" "stopping: a staging root runs nothing"
    elif ! has systemctl; then
        warn "no systemctl found; make sure that edge-door and edge-daemon do not run"
    else
        for service in "$KIOSK" "$CONSOLE" "$PEOPLE" "${ENABLED[@]}"; do
            if [ ! -e "$UNITS/$service" ]; then
                say "not there" "$service"
                continue
            fi
            if [ "$service" = edge-door.service ]; then
                say "note" "the door will be locked: from now on only hard-wired inputs and keys open it"
            fi
            # Before the program is removed: stopping de-energises the lock's relay.
            if booted; then run systemctl stop "$service"; fi
            run systemctl disable --quiet "$service"
        done
        for service in "${TEMPLATES[@]}"; do
            if [ ! -e "$UNITS/$service" ]; then
                say "not there" "$service"
                continue
            fi
            if booted; then run systemctl stop "${service/@/@*}"; fi
            run systemctl disable --quiet "$service" # all its instances
        done
    fi
}

# Files of other programs are kept.
remove_folder_if_empty() {
    [ -d "$root$1" ] || return 0
    if dry; then return; fi
    rmdir "$root$1" 2>/dev/null || say "kept" "$1, it contains other files"
}

# Links of enabled instances such as edge-door@lane1.service.
remove_instance_links() {
    local path
    [ -d "$root$UNITS/multi-user.target.wants" ] || return 0
    while IFS= read -r -d '' path; do
        remove "${path#"$root"}"
    done < <(find "$root$UNITS/multi-user.target.wants" \( -name 'edge-daemon@*' -o -name 'edge-door@*' \) -print0 | LC_ALL=C sort -z)
}

remove_units() {
    local service folder
    for service in "$KIOSK" "$CONSOLE" "$PEOPLE" "${ENABLED[@]}" "${TEMPLATES[@]}" edge-expire.service edge-people@.service; do
        remove "$UNITS/$service"
        if staged; then remove "$UNITS/multi-user.target.wants/$service" "$UNITS/timers.target.wants/$service" "$UNITS/sockets.target.wants/$service"; fi
    done
    if staged; then remove_instance_links; fi
    for folder in "$DROP_INS" "$LANE_DROP_INS"; do
        remove "$folder/jetson.conf" "$folder/network-camera.conf" "$folder/network-camera.conf.sample"
        remove_folder_if_empty "$folder"
    done
    if booted; then run systemctl daemon-reload; fi
}

remove_links() {
    local command
    for command in "${COMMANDS[@]}"; do
        [ "$(readlink "$root$LINKS/$command" 2>/dev/null)" != "$PROGRAM/bin/$command" ] || remove "$LINKS/$command"
    done
}

remove_program() {
    local path
    [ ! -L "$root$PROGRAM" ] || die "$PROGRAM: expected a folder, found a link to $(readlink "$root$PROGRAM"); remove it manually"
    if [ ! -d "$root$PROGRAM" ]; then
        say "not there" "$PROGRAM"
        return
    fi
    while IFS= read -r -d '' path; do
        remove "${path#"$root"}"
    done < <(find "$root$PROGRAM" -mindepth 1 -maxdepth 1 ! -path "$root$BUNDLE" ! -path "$root$BUNDLE.old" -print0 | LC_ALL=C sort -z)
}

# The key first: without it the encrypted templates are unreadable.
remove_data() {
    if [ "$purge" = no ]; then
        local path
        for path in "$SETTINGS" "$STATE" "$DOOR_STATE" "$CONSOLE_STATE" "$BUNDLE"; do
            if [ -e "$root$path" ]; then say "kept" "$path"; fi
        done
    else
        remove "$KEY" "$SETTINGS" "$STATE" "$DOOR_STATE" "$CONSOLE_STATE" "$BUNDLE" "$BUNDLE.old"
    fi
    if [ -z "$(find "$root$PROGRAM" -mindepth 1 -print -quit 2>/dev/null)" ]; then remove_folder_if_empty "$PROGRAM"; fi
}

remove_accounts() {
    local account
    if [ "$purge" = no ]; then return; fi
    if staged; then
        say "skipped" "accounts: remove them from the image"
        return
    fi
    for account in mfsa-kiosk mfsa-console mfsa-edge mfsa-door; do
        if getent passwd "$account" >/dev/null; then run userdel "$account"; else say "not there" "account $account"; fi
    done
    # userdel keeps a group that has other members.
    for account in mfsa-kiosk mfsa-console mfsa-edge mfsa-door; do
        if dry || ! getent group "$account" >/dev/null; then continue; fi
        run groupdel "$account"
    done
}

check_root
confirm
stop_services
remove_units
remove "$SYSUSERS" "$TMPFILES" "$KIOSK_SYSUSERS" "$CONSOLE_SYSUSERS" "$CONSOLE_TMPFILES" "$UDEV"
if booted && has udevadm; then run udevadm control --reload; fi
remove_links
remove_program
remove_data
remove_accounts

if dry; then
    printf '\nNothing was changed.\n'
elif [ "$purge" = yes ]; then
    printf '\nOn flash, deleting is not secure erasure: destroy the disk, or use disk encryption.\n'
fi
