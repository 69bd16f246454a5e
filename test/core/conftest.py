"""A model of the real class, with random weights and a few thousand parameters, in a complete model directory."""

import multiprocessing
from dataclasses import asdict

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from clue_ros.training.tabletop_model import TabletopSize

TINY = TabletopSize(
    image_size=112,
    vision_width=32,
    vision_layers=2,
    vision_mlp=48,
    vision_heads=2,
    text_width=32,
    text_layers=4,
    text_mlp=48,
    text_heads=4,
    text_kv_heads=2,
    head_dim=8,
)


@pytest.fixture(scope="session", autouse=True)
def no_picture_is_seen_twice():
    from seen_pictures import remembering

    from clue_ros.eyes.sight import Sight

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sight, "seeing", Sight.see, raising=False)
        patch.setattr(Sight, "see", remembering(Sight.see))
        yield


@pytest.fixture(scope="session")
def tiny_size():
    return TINY


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A rendered data set of 20 scenes in `train` and 10 in `validation`. Read only: all trainer tests share it."""
    from clue_ros.simulation.dataset import generate

    folder = tmp_path_factory.mktemp("data")
    for name, count, seed in (("train", 20, 1), ("validation", 10, 2)):
        generate(folder / name, count, seed, progress=False, shard=count)
    return folder


@pytest.fixture
def short_reports(monkeypatch):
    """A trained detector's report is about a fifth of the usual expressions: untrained models are not worth more."""
    monkeypatch.setattr("clue_ros.training.stages.VALIDATION_BATCHES", 4)


@pytest.fixture
def quick_processes(monkeypatch):
    """Processes that the product spawns come from a server that has imported torch and the package, once for all tests.

    As with spawn, work is pickled and nothing is inherited from this process: no thread, no OpenGL, no group of
    torch's. A spawned process imports for some seconds first; that spawning works is tested where nothing else needs
    it.
    """
    server, context_of = multiprocessing.get_context("forkserver"), multiprocessing.get_context
    server.set_forkserver_preload(["pytest", "clue_ros.training.stages", "clue_ros.evaluation.tabletop_suite"])
    monkeypatch.setattr(
        multiprocessing, "get_context", lambda method=None: server if method == "spawn" else context_of(method)
    )


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory):
    """A directory as `clue train export` writes it, from untrained stages."""
    from clue_ros.ambiguity.detector import AmbiguityDetector
    from clue_ros.training.adapters import LoraSettings, NamedParameters, add_adapter, named_adapter_parameters
    from clue_ros.training.detector_stage import DetectorSettings
    from clue_ros.training.export import export, load_base
    from clue_ros.training.loop import Run
    from clue_ros.training.optimizer import Optimizer
    from clue_ros.training.vision import start

    root = tmp_path_factory.mktemp("tiny")
    _, model, _ = start(TINY)

    def store(stage, modules, settings=None):
        run = {"stage": stage, "tap": 1, **(asdict(settings) if settings else {}), "lora": asdict(LoraSettings())}
        Run(root / stage, modules, Optimizer([("x", torch.nn.Parameter(torch.zeros(1)))], 1e-3), run).save()

    store("language", {"model": model})
    for name, layers in (("detector", [1]), ("dialogue", None)):
        _, base = load_base(root / "language", TINY)
        add_adapter(base, name, layers)
        torch.manual_seed(3)
        with torch.no_grad():
            for _, parameter in named_adapter_parameters(base, name):
                parameter.normal_(0, 0.2)  # so that an adapter that is not applied shows
        modules = {"adapter": NamedParameters(named_adapter_parameters(base, name))}
        if name == "detector":
            modules["detector"] = AmbiguityDetector()
        store(name, modules, DetectorSettings(tap=1) if name == "detector" else None)
    return export(root / "model", root / "language", [root / "dialogue", root / "detector"], TINY)


@pytest.fixture(scope="session")
def gemma_like_tokenizer():
    """Byte-pair encoding with Gemma's '▁' and PaliGemma's added tokens: the structure of the real tokenizer files;
    "yes" and "no" are tokens, as in Gemma's."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    inner.decoder = decoders.Metaspace(prepend_scheme="never")
    text = ["yes", "no"] * 20 + [
        "abcdefghijklmnopqrstuvwxyz 0123456789 ,.?!:'\n",
        "detect the thing",
        "clarify get me the thing 1, please. assistant: which one? user: the red one 0.",
    ] * 5
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    inner.train_from_iterator(text, trainers.BpeTrainer(vocab_size=150, special_tokens=special))
    inner.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    inner.add_tokens([AddedToken(f"<loc{i:04d}>", normalized=False) for i in range(1024)])
    inner.add_tokens([AddedToken(f"<seg{i:03d}>", normalized=False) for i in range(128)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>"
    )
