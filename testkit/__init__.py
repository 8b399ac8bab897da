"""What tests and benchmarks share, so that neither has to import the other: programs that are started for real, the
parts of a cluster that are played, and the worlds and stages that are built of both.

`tests/` and `scripts/` import this package. It imports the product and neither of them, which import-linter holds.

- Anything that is started: `ports`, `processes`, `waiting`, `postgres`, `envoy_bootstraps`.
- A control plane: `api_server`, `control_plane`, `audit_log`; one that runs elsewhere: `live_cluster`, `api_reader`,
  `disposable`.
- What a bare control plane lacks: `simulation`, `replica_sets`, `proxy_pods`, `hosts`, `fake_agents`,
  `fake_agent_process`.
- What is put on it: `documents`, `many_slices`, `slice_editor`, `operator_process`.
- All of it together: `stage` (the operator as a process), `pass_world` with `played_agents`, and `agents_world` (its
  passes, one at a time).
"""
