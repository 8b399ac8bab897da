module resilientslice.dev/kind-tools/pause

go 1.25.0
