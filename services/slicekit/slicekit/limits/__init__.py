"""The exact limit of each tenant over all replicas: counted in Redis, and held roughly while Redis is away.

Pure, and told the time: `gcra` (arithmetic), `accounts` (leases, denials, the local share), `breaker`, `policy`,
`headers`, `wire`. At the edges: `link` (the connection), `source` (the file), `limiter` (puts them together).
All pure parts count time in microseconds.
"""
