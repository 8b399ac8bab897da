#!/usr/bin/env bash
# Import every archive of /images into containerd's store, unpacked only when a pod first wants it. Runs in the build of
# the node image.
set -euo pipefail

containerd --config /etc/containerd/config.toml >/tmp/containerd.log 2>&1 &
containerd=$!
until ctr version >/dev/null 2>&1; do
    if ! kill -0 "$containerd" 2>/dev/null; then
        cat /tmp/containerd.log
        exit 1
    fi
    sleep 0.2
done
for archive in /images/*.tar; do
    ctr --namespace=k8s.io images import --all-platforms --no-unpack --digests "$archive"
done
kill "$containerd"
wait "$containerd" || true
rm -rf /var/lib/containerd/tmpmounts /tmp/containerd.log
