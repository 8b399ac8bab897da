#!/usr/bin/env bash
# Write, as a tar on standard output, a small root with what kube-proxy and the storage helper call: iptables, nft,
# ipset, conntrack and a shell, each with the libraries it is linked to. Runs in a container of the node's base image.
set -euo pipefail

root=$(mktemp -d)
mkdir -p "$root"/{etc,run,tmp,usr/bin,usr/sbin,usr/lib,usr/lib64}
chmod 1777 "$root/tmp"
for folder in bin sbin lib lib64; do
    ln -s "usr/$folder" "$root/$folder"
done

put() { # FILE...: each under its own name, and what the name points to
    local name real
    for name in "$@"; do
        name=$(readlink -f "$(dirname "$name")")/$(basename "$name")
        real=$(readlink -f "$name")
        cp --archive --parents "$real" "$root"
        if [[ $name != "$real" ]]; then
            cp --archive --parents --no-dereference "$name" "$root"
        fi
    done
}

put_libraries() { # PROGRAM...
    local libraries
    mapfile -t libraries < <(ldd "$@" 2>/dev/null | grep --only-matching '/[^ :]*\.so[^ :]*' | sort -u)
    put "${libraries[@]}"
}

programs=(/usr/sbin/{xtables-nft-multi,nft,ipset,conntrack} /usr/bin/{kmod,dash,ip,rm,mkdir,sleep,cat,ls})
mapfile -t programs < <(readlink -f "${programs[@]}")
put "${programs[@]}"
put_libraries "${programs[@]}"
extensions=(/usr/lib/*-linux-gnu/xtables)
put "${extensions[0]}"
cp --archive --parents "${extensions[0]}" "$root"
put_libraries "${extensions[0]}"/*.so
ln -s dash "$root/usr/bin/sh"
for name in {iptables,ip6tables}{,-save,-restore}; do
    ln -s xtables-nft-multi "$root/usr/sbin/$name"
done
ln -s ../bin/kmod "$root/usr/sbin/modprobe"
for file in /etc/protocols /etc/services; do
    if [[ -e $file ]]; then
        cp "$file" "$root/etc/"
    fi
done
tar --directory="$root" --create .
