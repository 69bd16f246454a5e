"""Test doubles that ship with the package: try a robot's stack against them in milliseconds, without a model."""
