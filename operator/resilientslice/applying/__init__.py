"""Apply what is expected to the Kubernetes API: what has to be written, whose fields are whose, and what was refused.

Everything but `writer` is pure.
"""
