# Enrols this server. It is handed to sh by portcullis target; the lines above it set:
#   config   sshd's configuration file          reload   the command that reloads sshd, or nothing
#   folder   where sshd's files are             lines    the lines for the configuration
# and `files` is a function that calls put PATH with each file's text on standard input.
# Whatever fails, every file is put back as it was.
set -eu
umask 022

say() { printf '%s\n' "$1"; }
die() { printf 'portcullis: %s\n' "$1" >&2; exit 1; }

sshd=
for candidate in "$(command -v sshd || true)" /usr/sbin/sshd /usr/local/sbin/sshd /sbin/sshd; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then sshd=$candidate; break; fi
done
[ -n "$sshd" ] || die "there is no sshd on this server"
[ -f "$config" ] || die "there is no $config"
[ -w "$folder" ] || { printf 'portcullis: %s cannot be written\n' "$folder" >&2; exit 77; }

kept=$(mktemp -d "$folder/.portcullis.XXXXXX")
# How many files were replaced. Counted by what is there: a variable would not survive the pipes below.
replaced() { find "$kept" -name '*.path' | wc -l; }
undo() {
    status=$?
    trap - EXIT INT TERM HUP
    count=$(replaced)
    while [ "$count" -gt 0 ]; do
        path=$(cat "$kept/$count.path")
        if [ -e "$kept/$count.old" ]; then mv -f "$kept/$count.old" "$path"; else rm -f "$path"; fi
        rm -f "$path.portcullis-new"
        count=$((count - 1))
    done
    rmdir "$folder/portcullis_principals" 2> /dev/null || true
    rm -rf "$kept"
    [ "$status" -ne 0 ] || status=1
    printf 'portcullis: every file is as it was\n' >&2
    exit "$status"
}
trap undo EXIT INT TERM HUP

# put PATH: replaces a file by standard input, whole or not at all, and remembers what it was.
put() {
    next=$(($(replaced) + 1))
    if [ -e "$1" ]; then cp -p "$1" "$kept/$next.old"; fi
    printf '%s' "$1" > "$kept/$next.path"
    cat > "$1.portcullis-new"
    # A file that is there keeps its own mode and owner.
    if [ -e "$1" ]; then
        chmod --reference="$1" "$1.portcullis-new" 2>/dev/null || chmod 0644 "$1.portcullis-new"
        chown --reference="$1" "$1.portcullis-new" 2>/dev/null || true
    else
        chmod 0644 "$1.portcullis-new"
    fi
    mv -f "$1.portcullis-new" "$1"
}

mkdir -p "$folder/portcullis_principals"
files

# The first value counts in sshd's configuration, so ours stand in front: in the folder that is included first, or at
# the top of the file where there is no such folder.
if grep -Eiq "^[[:space:]]*Include[[:space:]]+\"?$folder/sshd_config\.d/\*" "$config" && [ -d "$folder/sshd_config.d" ]; then
    printf '%s\n' "$lines" | put "$folder/sshd_config.d/00-portcullis.conf"
else
    {
        printf '# portcullis begin\n%s\n# portcullis end\n' "$lines"
        sed '/^# portcullis begin$/,/^# portcullis end$/d' "$config"
    } > "$kept/config"
    put "$config" < "$kept/config"
fi

"$sshd" -t -f "$config" || die "sshd does not take the new configuration"
# A line that was there before would win over ours without a word.
"$sshd" -T -f "$config" > "$kept/effective" || die "sshd does not say what its configuration is"
for wanted in "trustedusercakeys $folder/portcullis_user_ca.pub" "authorizedprincipalsfile $folder/portcullis_principals/%u"; do
    grep -Fixq -- "$wanted" "$kept/effective" ||
        die "another line of sshd's configuration overrides ours: \"$wanted\" is not in force"
done
if command -v restorecon > /dev/null 2>&1; then restorecon -RF "$folder" > /dev/null 2>&1 || true; fi

if [ -n "$reload" ]; then
    sh -c "$reload" || die "sshd could not be reloaded"
# The system's service reads the system's configuration, and no other.
elif [ "$config" != /etc/ssh/sshd_config ]; then die "which sshd reads $config? say how it is reloaded with --reload COMMAND"
elif command -v systemctl > /dev/null 2>&1 && systemctl reload ssh 2> /dev/null; then :
elif command -v systemctl > /dev/null 2>&1 && systemctl reload sshd 2> /dev/null; then :
elif command -v service > /dev/null 2>&1 && service ssh reload > /dev/null 2>&1; then :
elif command -v service > /dev/null 2>&1 && service sshd reload > /dev/null 2>&1; then :
elif [ -s /run/sshd.pid ] && kill -HUP "$(cat /run/sshd.pid)" 2> /dev/null; then :
else die "sshd could not be reloaded: say how with --reload COMMAND"
fi

trap - EXIT INT TERM HUP
rm -rf "$kept"
say "enrolled"
