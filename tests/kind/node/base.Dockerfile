# What a node of kind is before Kubernetes is put on it: systemd, containerd, CNI plugins and kind's own files.
# The context holds `files/`, taken from kind's module (images/base/files).
ARG DEBIAN
# hadolint ignore=DL3006
FROM ${DEBIAN}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# before kind's files: dpkg would otherwise stop and ask which containerd configuration to keep
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        bash ca-certificates conntrack containerd containernetworking-plugins curl e2fsprogs ethtool ipset iproute2 \
        iptables jq kmod libseccomp2 mount nftables pigz procps runc systemd util-linux \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* \
    && find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete \
    && rm -f /lib/systemd/system/multi-user.target.wants/* \
        /etc/systemd/system/*.wants/* \
        /lib/systemd/system/local-fs.target.wants/* \
        /lib/systemd/system/sockets.target.wants/*udev* \
        /lib/systemd/system/sockets.target.wants/*initctl* \
        /lib/systemd/system/basic.target.wants/* \
    && echo ReadKMsg=no >>/etc/systemd/journald.conf \
    && ln -sf /usr/lib/systemd/systemd /sbin/init \
    && ln -sf /usr/bin/containerd /usr/local/bin/containerd \
    && mkdir -p /opt/cni /etc/kubernetes/manifests /etc/cni/net.d \
    && ln -sfn /usr/lib/cni /opt/cni/bin
COPY files/ /
COPY cni.conf.template /etc/containerd/cni.conf.template
COPY crictl /usr/local/bin/crictl
COPY keep-inside.service /etc/systemd/system/keep-inside.service
# Debian's containerd has no fuse-overlayfs; nothing here may ask for a negative oom_score_adj; and containerd writes
# the CNI configuration from each node's pod range, since kindnetd can't be had
RUN chmod 755 /kind /kind/bin /usr/local/bin/crictl \
    && systemctl enable kubelet.service containerd.service undo-mount-hacks.service keep-inside.service \
    && systemctl mask systemd-binfmt.service \
    && sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' -e '/^\[proxy_plugins/,/^$/d' \
        /etc/containerd/config.toml \
    && printf '%s\n' '' '[plugins."io.containerd.grpc.v1.cri".cni]' '  bin_dir = "/opt/cni/bin"' \
        '  conf_dir = "/etc/cni/net.d"' '  conf_template = "/etc/containerd/cni.conf.template"' \
        >>/etc/containerd/config.toml \
    && ctr oci spec \
        | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
        >/etc/containerd/cri-base.json \
    && rm -rf /var/lib/containerd
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
