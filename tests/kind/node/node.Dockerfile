# A node of kind: the base, Kubernetes' programs, and the images of its own pods, imported into containerd.
ARG BASE
# hadolint ignore=DL3006
FROM ${BASE} AS programs
COPY programs/ /usr/bin/
COPY manifests/ /kind/manifests/
COPY patches/ /kind/patches/
COPY version /kind/version

FROM programs AS import
COPY images/ /images/
COPY import-images.sh /
RUN bash /import-images.sh

FROM programs
COPY --from=import /var/lib/containerd /var/lib/containerd
