"""The slice's own Envoy: `(slice, stable, canary | None, topology)` into the resources that every Envoy of it runs.

Resources are plain JSON in protocol buffers' mapping, each with its `@type`, so that they can be printed, stored,
digested and compared without knowing Envoy. Only `bootstrap` knows how they get there.
"""

from resilientslice.render.envoy.config import EnvoyConfig, Resource, Resources
from resilientslice.render.envoy.render import EnvoyRenderer, render_envoy

__all__ = ["EnvoyConfig", "EnvoyRenderer", "Resource", "Resources", "render_envoy"]
