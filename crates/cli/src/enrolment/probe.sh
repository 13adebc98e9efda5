# Prints the path and the public half of the best host key of this server's sshd, as sshd itself names it.
# The lines above set: config   sshd's configuration file
set -eu
sshd=
for candidate in "$(command -v sshd || true)" /usr/sbin/sshd /usr/local/sbin/sshd /sbin/sshd; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then sshd=$candidate; break; fi
done
[ -n "$sshd" ] || { printf 'portcullis: there is no sshd on this server\n' >&2; exit 1; }
keys=$("$sshd" -T -f "$config" | sed -n 's/^hostkey //p')
for kind in ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 ssh-rsa; do
    for key in $keys; do
        if [ -r "$key.pub" ] && [ "$(cut -d ' ' -f 1 "$key.pub")" = "$kind" ]; then
            printf '%s\n' "$key"
            cat "$key.pub"
            exit 0
        fi
    done
done
printf 'portcullis: sshd names no host key whose .pub file can be read\n' >&2
exit 1
