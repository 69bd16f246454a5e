"""Markers of all tests. `make test` runs everything; `make test TESTS=test/core ARGS="-k location"` a part."""


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: needs an NVIDIA GPU")
    config.addinivalue_line("markers", "hardware: needs a real camera, microphone or robot")
