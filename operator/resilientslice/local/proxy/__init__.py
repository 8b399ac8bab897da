"""The proxy: one agent and one Envoy, and what they count."""
