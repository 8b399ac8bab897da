"""Reads the world into one frozen `Observed`: what the plan is made from. It decides nothing and writes nothing."""
