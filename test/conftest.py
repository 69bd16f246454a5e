"""Markers of all tests. `make test` runs everything; `make test TESTS=test/core ARGS="-k location"` a part."""

import gc
import signal
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent))

from real_tokenizer import fetched, real_tokenizer  # noqa: E402, F401  (a fixture)


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what it sends to the background so, and every process of the tests would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "gpu: needs an NVIDIA GPU")
    config.addinivalue_line("markers", "hardware: needs a real camera, microphone or robot")


@pytest.fixture(scope="module", autouse=True)
def collector_without_the_libraries():
    """What lives when a module begins (half a million objects of torch, transformers and pytest) is no longer looked
    at by the garbage collector, of which every `Grounder.close` asks for a whole round: 0.3 s each without this."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def taught_dir(request, tmp_path_factory):
    """taught_model.py as Google's download would lie on the disk; the test is skipped where its tokenizer cannot be
    fetched."""
    import taught_model

    tokenizer = fetched(Path(request.config.cache.mkdir("gemma2-tokenizer")))
    return taught_model.write(tmp_path_factory.mktemp("taught") / "paligemma2-3b-mix-448", tokenizer)
